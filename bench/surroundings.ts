/** A database and broker names of the bench's own, removed afterwards. */
import { randomBytes } from 'node:crypto';
import { connect } from 'amqplib';
import mysql from 'mysql2/promise';

export const BROKER_URL = process.env['EVENT_CENTER_BENCH_BROKER_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';
export const DATABASE_URL = process.env['EVENT_CENTER_BENCH_DATABASE_URL'] ?? 'mysql://root@127.0.0.1:3306';

export interface TemporaryBroker {
  prefix: string;
  remove(exchanges: string[], queues: string[]): Promise<void>;
  /** Removes what a centre declares, and the node queues that are named. */
  removeCentre(nodeQueues: string[]): Promise<void>;
}

export function temporaryBroker(url: string): TemporaryBroker {
  const prefix = `bench-${randomBytes(4).toString('hex')}.`;
  const remove = async (exchanges: string[], queues: string[]): Promise<void> => {
    const connection = await connect(url);
    const channel = await connection.createChannel();
    for (const queue of queues) await channel.deleteQueue(prefix + queue);
    for (const exchange of exchanges) await channel.deleteExchange(prefix + exchange);
    await connection.close();
  };
  return {
    prefix,
    remove,
    removeCentre: (nodeQueues) => {
      const delays = [5_000, 30_000, 120_000, 600_000, 1_800_000].map((ms) => `delay.${ms}`);
      return remove(
        ['events', 'redeliver', 'dead', 'outcomes', 'control', ...delays],
        ['journal', 'outcomes', 'dead', ...delays, ...nodeQueues],
      );
    },
  };
}

export async function temporaryDatabase(serverUrl: string): Promise<{ url: string; remove(): Promise<void> }> {
  const name = `event_center_bench_${randomBytes(4).toString('hex')}`;
  await statement(serverUrl, `CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return { url: url.toString(), remove: () => statement(serverUrl, `DROP DATABASE ${name}`) };
}

/** How many rows a table has. */
export async function countRows(databaseUrl: string, table: string): Promise<number> {
  const [row] = await queryRows(databaseUrl, `SELECT COUNT(*) AS n FROM ${table}`);
  return Number(row?.['n']);
}

/** One query on a connection of its own. */
export async function queryRows(
  databaseUrl: string,
  sql: string,
  values: unknown[] = [],
): Promise<mysql.RowDataPacket[]> {
  const connection = await mysql.createConnection({ uri: databaseUrl });
  try {
    const [rows] = await connection.query<mysql.RowDataPacket[]>(sql, values);
    return rows;
  } finally {
    await connection.end();
  }
}

async function statement(serverUrl: string, sql: string): Promise<void> {
  const connection = await mysql.createConnection({ uri: serverUrl });
  await connection.query(sql);
  await connection.end();
}

/** Resolves when the broker takes connections. */
export async function brokerAnswers(url: string): Promise<void> {
  await (await connect(url)).close();
}

/** Resolves when the database takes connections. */
export async function databaseAnswers(url: string): Promise<void> {
  await (await mysql.createConnection({ uri: url })).end();
}

/** Names and versions of the servers that run here; those that do not are unknown. */
export async function serverVersions(): Promise<{ broker: string; database: string }> {
  const [broker, database] = await Promise.all([
    brokerVersion().catch(() => 'unknown broker'),
    databaseVersion().catch(() => 'unknown database'),
  ]);
  return { broker, database };
}

async function brokerVersion(): Promise<string> {
  const broker = await connect(BROKER_URL);
  const { product, version } = broker.connection.serverProperties as { product?: string; version?: string };
  await broker.close();
  return `${product ?? 'broker'} ${version ?? '?'}`;
}

async function databaseVersion(): Promise<string> {
  const [row] = await queryRows(DATABASE_URL, 'SELECT VERSION() AS version');
  return String(row?.['version']);
}
