import { connect } from 'amqplib';
import mysql from 'mysql2/promise';
import { startRabbitMqCluster, type OwnCluster, type OwnNode } from '../../scripts/own-cluster.mjs';
import {
  startMariaDb,
  startRabbitMq,
  type OwnBroker as RabbitMqService,
  type OwnService,
} from '../../scripts/own-services.mjs';
import { tcpProxy } from '../support/tcp-proxy.js';

export type { OwnCluster, OwnNode, OwnService };

/** RabbitMQ of a run's own, seen from one virtual host. */
export interface OwnBroker extends RabbitMqService {
  /** The virtual host, for `rabbitmqctl -p`. */
  vhost: string;
  /** The same broker, seen from a new virtual host of this name, which stays as long as the broker does. */
  virtualHost(name: string): Promise<OwnBroker>;
}

/** MariaDB of a run's own, with one database. */
export interface OwnDatabase extends OwnService {
  /** The same server with an empty database of this name. */
  another(name: string): Promise<OwnService>;
}

/** RabbitMQ of a run's own. */
export async function startOwnBroker(): Promise<OwnBroker> {
  const service = await startRabbitMq({ answers: takesConnections });
  const virtualHost = async (name: string): Promise<OwnBroker> => {
    // Each start of rabbitmqctl takes seconds on a busy machine, so one does both.
    const vhost = `<<"${name}">>`;
    const permissions = `rabbit_auth_backend_internal:set_permissions(<<"guest">>, ${vhost}, <<".*">>, <<".*">>, <<".*">>, <<"guest">>)`;
    await service.control('eval', `rabbit_vhost:add(${vhost}, <<"guest">>), ${permissions}.`);
    return { ...service, url: `${service.url}/${name}`, vhost: name, virtualHost };
  };
  return { ...service, vhost: '/', virtualHost };
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
export async function startOwnDatabase(): Promise<OwnDatabase> {
  const answers = (url: string): Promise<void> => statement(url, 'SELECT 1');
  const service = await startMariaDb({ answers });
  const another = async (name: string): Promise<OwnService> => {
    await statement(service.url, `CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
    return { ...service, url: `${service.url}/${name}` };
  };
  return { ...(await another('event_center')), another };
}

/** Messages per queue of the broker's virtual host, as the broker counts them: a quorum queue tells only every 5 s. */
export async function queueCounts(broker: OwnBroker): Promise<Map<string, { ready: number; unacknowledged: number }>> {
  const table = await broker.control(
    ...['list_queues', '-p', broker.vhost, 'name', 'messages_ready', 'messages_unacknowledged', '--no-table-headers'],
  );
  const lines = table.split('\n').map((line) => line.split('\t'));
  return new Map(
    lines
      .filter((line) => line.length === 3)
      .map(([name, ready, unacknowledged]) => [
        name as string,
        { ready: Number(ready), unacknowledged: Number(unacknowledged) },
      ]),
  );
}

async function statement(url: string, sql: string): Promise<void> {
  const connection = await mysql.createConnection({ uri: url, connectTimeout: 2_000 });
  await connection.query(sql);
  await connection.end();
}
