/**
 * RabbitMQ and MariaDB or MySQL for the tests: those named by the environment, those on this machine's default ports,
 * or own ones that are started for the run and removed after it.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { installPackages, missingPackages } from './debian-packages.mjs';
import { startMariaDb, startRabbitMq } from './own-services.mjs';
import { ROOT, run } from './prepare.mjs';

const capture = promisify(execFile);
const ANSWER_MS = 5_000;
const COMPOSE_FILE = 'scripts/test-services.yml';

/** What is needed, how it is asked, and how it is started from installed binaries. */
const KINDS = {
  broker: {
    name: 'RabbitMQ',
    variable: 'EVENT_CENTER_TEST_BROKER_URL',
    defaultUrl: 'amqp://guest:guest@127.0.0.1:5672',
    versionOf: brokerVersion,
    start: startRabbitMq,
    debianPackage: 'rabbitmq-server',
    composePort: 5672,
    composeUrl: (address) => `amqp://guest:guest@${address}`,
  },
  database: {
    name: 'MariaDB or MySQL',
    variable: 'EVENT_CENTER_TEST_DATABASE_URL',
    defaultUrl: 'mysql://root@127.0.0.1:3306',
    versionOf: databaseVersion,
    start: startMariaDb,
    debianPackage: 'mariadb-server',
    composePort: 3306,
    composeUrl: (address) => `mysql://root:event-center-test@${address}`,
  },
};

/**
 * Finds or starts both services. Returns the variables for the tests, a line on each service with its version, and
 * what removes the ones that were started. Throws with what to install when one cannot be had.
 */
export async function testServices({ onlyOwn }) {
  const stops = [];
  const stop = async () => {
    for (const each of stops.reverse()) await each();
  };
  try {
    const found = {};
    for (const kind of Object.values(KINDS)) {
      const service = onlyOwn ? null : await findRunning(kind);
      if (service !== null) found[kind.variable] = service;
    }
    const missing = Object.values(KINDS).filter((kind) => found[kind.variable] === undefined);
    if (missing.length > 0) Object.assign(found, await startMissing(missing, stops));
    const environment = Object.fromEntries(Object.entries(found).map(([variable, service]) => [variable, service.url]));
    return { environment, lines: Object.values(found).map((service) => service.line), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function findRunning(kind) {
  const given = process.env[kind.variable];
  const url = given ?? kind.defaultUrl;
  try {
    return await described(kind, url, given === undefined ? 'found' : `named by ${kind.variable}`);
  } catch (error) {
    if (given === undefined) return null;
    throw new Error(`${kind.variable} is set, but ${withoutPassword(url)} does not answer: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

async function startMissing(missing, stops) {
  if (await engineAnswers()) {
    try {
      return await startContainers(missing, stops);
    } catch (error) {
      say(`the container engine could not start them (${reasonOf(error)})`);
    }
  }
  const packages = missingPackages(missing.map((kind) => kind.debianPackage));
  if (packages.length > 0) await installPackages(packages, { say, whatToDo: whatToInstall(missing) });
  const started = {};
  for (const kind of missing) {
    say(`starting ${kind.name} for this run`);
    const service = await kind.start({ answers: kind.versionOf });
    stops.push(service.remove);
    started[kind.variable] = await described(kind, service.url, 'started for this run');
  }
  return started;
}

async function engineAnswers() {
  try {
    await capture('docker', ['info'], { timeout: ANSWER_MS });
    await capture('docker', ['compose', 'version'], { timeout: ANSWER_MS });
    return true;
  } catch {
    return false;
  }
}

async function startContainers(missing, stops) {
  const compose = ['compose', '-p', `event-center-test-${process.pid}`, '-f', COMPOSE_FILE];
  stops.push(() => run('docker', [...compose, 'down', '--volumes', '--timeout', '5']));
  const names = missing.map((kind) => Object.keys(KINDS).find((name) => KINDS[name] === kind));
  say(`starting ${missing.map((kind) => kind.name).join(' and ')} with docker compose`);
  await run('docker', [...compose, 'up', '--detach', '--wait', '--quiet-pull', ...names]);
  const started = {};
  for (const [index, kind] of missing.entries()) {
    const port = await capture('docker', [...compose, 'port', names[index], String(kind.composePort)], { cwd: ROOT });
    started[kind.variable] = await described(kind, kind.composeUrl(port.stdout.trim()), 'started by docker compose');
  }
  return started;
}

function whatToInstall(kinds) {
  return [
    `The tests need ${kinds.map((kind) => kind.name).join(' and ')}, and none answers. One of these helps:`,
    ...kinds.map((kind) => `  - name a running one: ${kind.variable}=${kind.defaultUrl}`),
    '  - start a container engine (Docker with the compose plug-in)',
    `  - on Debian or Ubuntu: apt-get install ${kinds.map((kind) => kind.debianPackage).join(' ')}`,
    'Or test without them, on the embedded broker and SQLite only: npm test -- --embedded',
  ].join('\n');
}

async function described(kind, url, how) {
  return { url, line: `${await kind.versionOf(url)} at ${new URL(url).host} (${how})` };
}

async function brokerVersion(url) {
  const { connect } = await import('amqplib');
  const connection = await connect(url, { timeout: ANSWER_MS });
  const { product, version } = connection.connection.serverProperties;
  await connection.close();
  return `${product} ${version}`;
}

async function databaseVersion(url) {
  const { createConnection } = await import('mysql2/promise');
  const connection = await createConnection({ uri: url, connectTimeout: ANSWER_MS });
  const [[row]] = await connection.query({ sql: 'SELECT VERSION() AS version', timeout: ANSWER_MS });
  await connection.end();
  return `${/mariadb/i.test(row.version) ? 'MariaDB' : 'MySQL'} ${row.version}`;
}

function withoutPassword(url) {
  return url.replace(/:[^:/@]*@/, ':***@');
}

function reasonOf(error) {
  return error.message || error.code || String(error);
}

function say(text) {
  process.stderr.write(`test: ${text}\n`);
}
