/** One RabbitMQ node of one's own, alone or of a cluster, from the binaries of Debian's package. */
import { execFile, spawn } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { serviceOf } from './own-service.mjs';
import { ROOT, run } from './prepare.mjs';

const capture = promisify(execFile);
/** What Debian's service unit gives the broker; with the usual 1024 it hangs beyond about 300 queues. */
const OPEN_FILES = 65_536;
const ERL_CALL = '/usr/lib/erlang/bin/erl_call';
const EVALUATE_MS = 20_000;

/**
 * A node that is not started yet, with its data in `folder`, which is there. `configuration` are further lines of its
 * rabbitmq.conf, `environment` further variables of it and its rabbitmqctl. Returns a service with its `url`;
 * `control(...arguments)` is its rabbitmqctl, and `evaluate(expressions)` what Erlang expressions come to in the node,
 * at once, where rabbitmqctl needs seconds to start.
 */
export function rabbitMqNode({
  folder,
  name,
  port,
  distributionPort,
  mapperPort,
  answers,
  configuration = [],
  environment = {},
}) {
  const lines = [`listeners.tcp.1 = 127.0.0.1:${port}`, 'disk_free_limit.absolute = 50MB', ...configuration];
  writeFileSync(join(folder, 'rabbitmq.conf'), `${lines.join('\n')}\n`);
  copyFileSync(join(ROOT, 'config', 'rabbitmq', 'advanced.config'), join(folder, 'advanced.config'));
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    ERL_EPMD_PORT: String(mapperPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: name,
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'advanced.config'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    ERL_CRASH_DUMP: join(folder, 'erl_crash.dump'),
    ...environment,
  };
  const limits = `ulimit -n ${OPEN_FILES} || ulimit -n "$(ulimit -Hn)"`;
  const launch = (stdio) =>
    spawn('sh', ['-c', `${limits}; exec /usr/lib/rabbitmq/bin/rabbitmq-server`], { env, stdio });
  const url = `amqp://guest:guest@127.0.0.1:${port}`;
  // The shell scripts stay in front of the broker, so a signal for it goes to the process that it names itself.
  const pidOf = () => Number(readFileSync(join(folder, 'pid'), 'utf8'));
  const service = serviceOf({ name: 'RabbitMQ', folder, launch, pidOf, answers: () => answers(url) });
  const control = async (...parameters) => {
    const command = ['-n', name, '--quiet', ...parameters];
    return (await capture('/usr/lib/rabbitmq/bin/rabbitmqctl', command, { env })).stdout;
  };
  const evaluate = async (expressions) => {
    const cookie = readFileSync(join(folder, '.erlang.cookie'), 'utf8');
    const calling = capture(ERL_CALL, ['-address', `127.0.0.1:${distributionPort}`, '-c', cookie, '-e'], {
      timeout: EVALUATE_MS,
    });
    // It takes the last form only with a line's end behind it.
    calling.child.stdin.end(`${expressions}\n`);
    const { stdout } = await calling;
    const value = /^{ok, ([^]*)}$/.exec(stdout.trim())?.[1];
    if (value === undefined) throw new Error(`${name} answered ${stdout} to ${expressions}`);
    return value;
  };
  return { ...service, url, name, control, evaluate };
}

/** Ends the port mapper of nodes that are gone. */
export async function stopMapper(mapperPort) {
  await run('epmd', ['-port', String(mapperPort), '-kill'], { stdio: 'ignore' }).catch(() => undefined);
}
