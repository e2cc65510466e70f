import { Link, type Session } from '../../src/broker/rabbitmq/link.js';
import { streamOf } from '../../src/broker/rabbitmq/connect.js';
import type { Socket } from 'node:net';
import { silentLog } from '../support/brokers.js';
import { TEST_BROKER_URL } from '../support/raw-broker.js';
import { tcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

/** Two nodes of a cluster, as far as a connection can tell. */
describe('a connection to a broker with several addresses', () => {
  let proxies: [TcpProxy, TcpProxy];
  let link: Link | null = null;
  /** The ports of the connections that were set up, or tried to be. */
  let ports: (number | undefined)[];

  beforeEach(async () => {
    const target = new URL(TEST_BROKER_URL);
    const address = { host: target.hostname, port: Number(target.port || 5672) };
    proxies = [await tcpProxy(address), await tcpProxy(address)];
    ports = [];
  });

  afterEach(async () => {
    await link?.stop();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  });

  function connectThrough(up: (session: Session) => Promise<void>): void {
    const addresses = proxies.map(({ port }) => {
      const url = new URL(TEST_BROKER_URL);
      url.host = `127.0.0.1:${port}`;
      return url.href;
    });
    const options = { addresses, name: 'test', connectTimeoutMs: 5_000, heartbeatSeconds: 5, log: silentLog };
    link = new Link(options, {
      up: (session) => {
        ports.push((streamOf(session.model) as Socket).remotePort);
        return up(session);
      },
      down: () => undefined,
      blocked: () => undefined,
    });
    link.start();
  }

  it('goes to the next one when it cannot be set up, as on a node that is cut off from the others', async () => {
    connectThrough(() =>
      ports.length === 1 ? Promise.reject(new Error('the node answers no declaration')) : Promise.resolve(),
    );
    await until('a connection is set up', () => link?.problem === null);
    expect(ports).toEqual([proxies[0].port, proxies[1].port]);
  });

  it('goes to the next one when it is given up, because nothing is confirmed there', async () => {
    const sessions: Session[] = [];
    connectThrough((session) => {
      sessions.push(session);
      return Promise.resolve();
    });
    await until('a connection is set up', () => link?.problem === null);
    sessions[0]?.kill('nothing is confirmed any more');
    await until('another one is set up', () => ports.length === 2 && link?.problem === null);
    expect(ports).toEqual([proxies[0].port, proxies[1].port]);
  });

  it('comes back to the first one when the others are away', async () => {
    const sessions: Session[] = [];
    connectThrough((session) => {
      sessions.push(session);
      return Promise.resolve();
    });
    await until('a connection is set up', () => link?.problem === null);
    proxies[1].cut();
    sessions[0]?.kill('gone for a moment');
    await until('another one is set up', () => ports.length === 2 && link?.problem === null);
    expect(ports).toEqual([proxies[0].port, proxies[0].port]);
  });
});
