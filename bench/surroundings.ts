/** A database and broker names of the bench's own, removed afterwards. */
import { randomBytes } from 'node:crypto';
import { connect } from 'amqplib';
import mysql from 'mysql2/promise';

export function temporaryBroker(url: string): {
  prefix: string;
  remove(exchanges: string[], queues: string[]): Promise<void>;
} {
  const prefix = `bench-${randomBytes(4).toString('hex')}.`;
  return {
    prefix,
    remove: async (exchanges, queues) => {
      const connection = await connect(url);
      const channel = await connection.createChannel();
      for (const queue of queues) await channel.deleteQueue(prefix + queue);
      for (const exchange of exchanges) await channel.deleteExchange(prefix + exchange);
      await connection.close();
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

async function statement(serverUrl: string, sql: string): Promise<void> {
  const connection = await mysql.createConnection({ uri: serverUrl });
  await connection.query(sql);
  await connection.end();
}
