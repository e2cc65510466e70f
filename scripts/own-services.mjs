/**
 * RabbitMQ and MariaDB of one's own, from the binaries of Debian's packages: free ports, data in a temporary folder,
 * ended by their own process ids.
 */
import { execFile, spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ROOT, run } from './prepare.mjs';

const capture = promisify(execFile);
const START_MS = 90_000;
const STOP_MS = 30_000;
const POLL_MS = 300;
/** What Debian's service unit gives the broker; with the usual 1024 it hangs beyond about 300 queues. */
const OPEN_FILES = 65_536;

/**
 * Starts RabbitMQ and waits until `answers(url)` resolves. Returns a service that can be stopped, killed and started
 * again, and in the end removed with its data and its port mapper; `control(...arguments)` is its rabbitmqctl.
 */
export async function startRabbitMq({ answers }) {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-rabbitmq-'));
  const [port, distributionPort, mapperPort] = [await freePort(), await freePort(), await freePort()];
  writeFileSync(
    join(folder, 'rabbitmq.conf'),
    `listeners.tcp.1 = 127.0.0.1:${port}\ndisk_free_limit.absolute = 50MB\n`,
  );
  copyFileSync(join(ROOT, 'config', 'rabbitmq', 'advanced.config'), join(folder, 'advanced.config'));
  const environment = {
    PATH: process.env.PATH,
    HOME: folder,
    ERL_EPMD_PORT: String(mapperPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: `event-center-${port}@localhost`,
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'advanced.config'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
  };
  const launch = (stdio) =>
    spawn(
      'sh',
      ['-c', `ulimit -n ${OPEN_FILES} || ulimit -n "$(ulimit -Hn)"; exec /usr/lib/rabbitmq/bin/rabbitmq-server`],
      {
        env: environment,
        stdio,
      },
    );
  const url = `amqp://guest:guest@127.0.0.1:${port}`;
  // The shell scripts stay in front of the broker, so a signal for it goes to the process that it names itself.
  const pidOf = () => Number(readFileSync(join(folder, 'pid'), 'utf8'));
  const service = serviceOf({ name: 'RabbitMQ', folder, launch, pidOf, answers: () => answers(url) });
  await service.start();
  const remove = async () => {
    await service.stop();
    await run('epmd', ['-port', String(mapperPort), '-kill'], { stdio: 'ignore' }).catch(() => undefined);
    rmSync(folder, { recursive: true, force: true });
  };
  const control = async (...parameters) => {
    const command = ['-n', environment.RABBITMQ_NODENAME, '--quiet', ...parameters];
    return (await capture('/usr/lib/rabbitmq/bin/rabbitmqctl', command, { env: environment })).stdout;
  };
  return { ...service, url, remove, control };
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

function serviceOf({ name, folder, launch, pidOf, answers }) {
  const logFile = join(folder, 'output.log');
  let child = null;
  let ended = Promise.resolve();

  const end = async (signal) => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    try {
      process.kill(pidOf(child), signal);
    } catch {
      child.kill(signal);
    }
    await ended;
    clearTimeout(timer);
  };

  const start = async () => {
    const output = openSync(logFile, 'a');
    child = launch(['ignore', output, output]);
    closeSync(output);
    ended = new Promise((resolve) => child.once('exit', resolve));
    for (const giveUpAt = Date.now() + START_MS; ; await wait(POLL_MS)) {
      try {
        await answers();
        return;
      } catch (error) {
        if (Date.now() < giveUpAt && child.exitCode === null) continue;
        await end('SIGTERM');
        throw new Error(`${name} did not start: ${error.message}\n${readFileSync(logFile, 'utf8').slice(-2_000)}`, {
          cause: error,
        });
      }
    }
  };

  return { start, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
