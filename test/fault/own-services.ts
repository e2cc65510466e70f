import { connect } from 'amqplib';
import mysql from 'mysql2/promise';
import { startRabbitMqCluster, type OwnCluster, type OwnNode } from '../../scripts/own-cluster.mjs';
import { startMariaDb, startRabbitMq, type OwnBroker, type OwnService } from '../../scripts/own-services.mjs';
import { tcpProxy } from '../support/tcp-proxy.js';

export type { OwnBroker, OwnCluster, OwnNode, OwnService };

/** RabbitMQ of a run's own. */
export function startOwnBroker(): Promise<OwnBroker> {
  return startRabbitMq({ answers: takesConnections });
}

/** Three nodes of RabbitMQ of a run's own, joined; the network between them is in the run's hands. */
export function startOwnCluster(): Promise<OwnCluster> {
  return startRabbitMqCluster({ answers: takesConnections, link: ({ from, to }) => tcpProxy(to, from) });
}

async function takesConnections(url: string): Promise<void> {
  const connection = await connect(url, { timeout: 2_000 });
  await connection.close();
}

/** MariaDB of a run's own, with an empty database. */
export async function startOwnDatabase(): Promise<OwnService> {
  const answers = (url: string): Promise<void> => statement(url, 'SELECT 1');
  const service = await startMariaDb({ answers });
  await statement(service.url, 'CREATE DATABASE event_center CHARACTER SET utf8mb4');
  return { ...service, url: `${service.url}/event_center` };
}

/** Unacknowledged messages per queue, as the broker counts them. */
export async function unacknowledged(broker: OwnBroker): Promise<Map<string, number>> {
  const table = await broker.control('list_queues', 'name', 'messages_unacknowledged', '--no-table-headers');
  const lines = table.split('\n').map((line) => line.split('\t'));
  return new Map(lines.filter((line) => line.length === 2).map(([name, count]) => [name as string, Number(count)]));
}

async function statement(url: string, sql: string): Promise<void> {
  const connection = await mysql.createConnection({ uri: url, connectTimeout: 2_000 });
  await connection.query(sql);
  await connection.end();
}
