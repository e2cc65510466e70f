/**
 * RabbitMQ and MariaDB of one's own, from the binaries of Debian's packages: free ports, data in a temporary folder,
 * ended by their own process ids.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rabbitMqNode, stopMapper } from './own-rabbitmq-node.mjs';
import { freePort, serviceOf } from './own-service.mjs';
import { run } from './prepare.mjs';

/**
 * Starts RabbitMQ and waits until `answers(url)` resolves. Returns a service that can be stopped, killed and started
 * again, and in the end removed with its data and its port mapper; `control(...arguments)` is its rabbitmqctl.
 */
export async function startRabbitMq({ answers }) {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-rabbitmq-'));
  const mapperPort = await freePort();
  const port = await freePort();
  const distributionPort = await freePort();
  const name = `event-center-${port}@localhost`;
  const node = rabbitMqNode({ folder, name, port, distributionPort, mapperPort, answers });
  await node.start();
  const remove = async () => {
    await node.stop();
    await stopMapper(mapperPort);
    rmSync(folder, { recursive: true, force: true });
  };
  return { ...node, remove };
}

/** Starts MariaDB, user root without a password, and waits until `answers(url)` resolves. Returns a service as above. */
export async function startMariaDb({ answers }) {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-mariadb-'));
  const port = await freePort();
  const data = join(folder, 'data');
  mkdirSync(data);
  const common = ['--no-defaults', `--datadir=${data}`];
  if (process.getuid?.() === 0) common.push('--user=root');
  await run('mariadb-install-db', [...common, '--auth-root-authentication-method=normal', '--skip-test-db'], {
    stdio: 'ignore',
  });
  const launch = (stdio) =>
    spawn(
      '/usr/sbin/mariadbd',
      [
        ...common,
        `--port=${port}`,
        '--bind-address=127.0.0.1',
        `--socket=${join(folder, 'socket')}`,
        `--pid-file=${join(folder, 'pid')}`,
      ],
      { stdio },
    );
  const url = `mysql://root@127.0.0.1:${port}`;
  const service = serviceOf({
    name: 'MariaDB',
    folder,
    launch,
    pidOf: (child) => child.pid,
    answers: () => answers(url),
  });
  await service.start();
  const remove = async () => {
    await service.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  return { ...service, url, remove };
}
