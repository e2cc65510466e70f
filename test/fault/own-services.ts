/**
 * RabbitMQ and MariaDB of a run's own: started from the installed binaries on free ports, with their data in a
 * temporary folder, ended by their process ids.
 */
import { spawn, execFile, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connect } from 'amqplib';
import mysql from 'mysql2/promise';
import { until } from '../support/until.js';

const run = promisify(execFile);
const START_MS = 60_000;
const STOP_MS = 60_000;
const OPEN_FILES = 20_000;

export interface OwnService {
  url: string;
  start(): Promise<void>;
  /** Ends it in order. */
  stop(): Promise<void>;
  /** kill -9. */
  kill(): Promise<void>;
  /** Ends it and removes its data. */
  remove(): Promise<void>;
}

export interface OwnBroker extends OwnService {
  /** Unacknowledged messages per queue, as the broker sees them now. */
  unacknowledged(): Promise<Map<string, number>>;
}

function firstExisting(what: string, candidates: string[]): string {
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${what} is not installed: none of ${candidates.join(', ')} is there`);
  return found;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** One process that can be started again and again. */
class Restartable {
  #child: ChildProcess | null = null;

  constructor(launch: () => ChildProcess, answers: () => Promise<unknown>, pidOf: (child: ChildProcess) => number) {
    this.#launch = launch;
    this.#answers = answers;
    this.#pidOf = pidOf;
  }

  readonly #launch: () => ChildProcess;
  readonly #answers: () => Promise<unknown>;
  readonly #pidOf: (child: ChildProcess) => number;

  async start(): Promise<void> {
    const child = this.#launch();
    this.#child = child;
    await until(
      'a service of the run answers',
      async () => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
        await this.#answers();
        return true;
      },
      START_MS,
    );
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    process.kill(this.#pidOf(child), signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  }
}

export async function startOwnBroker(): Promise<OwnBroker> {
  const server = firstExisting('RabbitMQ', ['/usr/lib/rabbitmq/bin/rabbitmq-server', '/usr/sbin/rabbitmq-server']);
  const folder = mkdtempSync(join(tmpdir(), 'event-center-rabbitmq-'));
  const [port, distributionPort] = [await freePort(), await freePort()];
  const nodeName = `event-center-${port}@localhost`;
  writeFileSync(
    join(folder, 'rabbitmq.conf'),
    `listeners.tcp.local = 127.0.0.1:${port}\ndisk_free_limit.absolute = 50MB\n`,
  );
  const environment = {
    PATH: process.env['PATH'],
    HOME: folder,
    RABBITMQ_NODENAME: nodeName,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    ERL_EPMD_ADDRESS: '127.0.0.1',
  };
  const url = `amqp://guest:guest@127.0.0.1:${port}`;
  const output = openSync(join(folder, 'output.log'), 'a');
  const service = new Restartable(
    () =>
      spawn('sh', ['-c', `ulimit -n ${OPEN_FILES}; exec "$0"`, server], {
        env: environment,
        stdio: ['ignore', output, output],
      }),
    async () => {
      const connection = await connect(url, { timeout: 2_000 });
      await connection.close();
    },
    () => Number(readFileSync(join(folder, 'pid'), 'utf8')),
  );
  await service.start();
  const control = firstExisting('rabbitmqctl', ['/usr/lib/rabbitmq/bin/rabbitmqctl', '/usr/sbin/rabbitmqctl']);
  return {
    url,
    start: () => service.start(),
    stop: () => service.end('SIGTERM'),
    kill: () => service.end('SIGKILL'),
    remove: async () => {
      await service.end('SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
    unacknowledged: async () => {
      const { stdout } = await run(
        control,
        ['-n', nodeName, 'list_queues', 'name', 'messages_unacknowledged', '--quiet', '--no-table-headers'],
        {
          env: environment,
        },
      );
      const lines = stdout.split('\n').map((line) => line.split('\t'));
      return new Map(lines.filter((line) => line.length === 2).map(([name, count]) => [name as string, Number(count)]));
    },
  };
}

export async function startOwnDatabase(): Promise<OwnService> {
  const server = firstExisting('MariaDB or MySQL', ['/usr/sbin/mariadbd', '/usr/sbin/mysqld']);
  const install = firstExisting('mariadb-install-db', ['/usr/bin/mariadb-install-db', '/usr/bin/mysql_install_db']);
  const folder = mkdtempSync(join(tmpdir(), 'event-center-mariadb-'));
  const port = await freePort();
  const data = join(folder, 'data');
  mkdirSync(data);
  const common = ['--no-defaults', `--datadir=${data}`, '--user=root'];
  await run(install, [...common, '--auth-root-authentication-method=normal']);
  const output = openSync(join(folder, 'output.log'), 'a');
  const rootUrl = `mysql://root@127.0.0.1:${port}`;
  const service = new Restartable(
    () =>
      spawn(
        server,
        [
          ...common,
          `--port=${port}`,
          '--bind-address=127.0.0.1',
          `--socket=${join(folder, 'socket')}`,
          `--pid-file=${join(folder, 'pid')}`,
          '--innodb-buffer-pool-size=128M',
        ],
        { stdio: ['ignore', output, output] },
      ),
    async () => {
      const connection = await mysql.createConnection({ uri: rootUrl, connectTimeout: 2_000 });
      await connection.end();
    },
    (child) => child.pid as number,
  );
  await service.start();
  const connection = await mysql.createConnection({ uri: rootUrl });
  await connection.query('CREATE DATABASE event_center CHARACTER SET utf8mb4');
  await connection.end();
  return {
    url: `${rootUrl}/event_center`,
    start: () => service.start(),
    stop: () => service.end('SIGTERM'),
    kill: () => service.end('SIGKILL'),
    remove: async () => {
      await service.end('SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
