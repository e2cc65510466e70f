import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { request } from 'undici';
import { migrations } from '../../migrations/index.js';
import { openDatabase } from '../../src/store/database.js';
import { entities } from '../../src/store/entities.js';
import { execute, rowsOf } from '../../src/store/sql.js';
import { ADMIN_TOKEN, runCentre } from '../support/centre-process.js';
import { silentLog } from '../support/databases.js';
import { Flow } from '../support/flow.js';
import { slowIt } from '../support/fuzzing.js';
import { filesBelow, leaksIn, type Places } from '../support/leaks.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

const TIMEOUT_MS = 240_000;
const MAIN = join(process.cwd(), 'dist', 'src', 'main.js');
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** What may be nowhere but where it was given. */
const SECRETS = {
  'an imported app key': base64('planted app key 0001'),
  'a client key': base64('planted client key 2'),
  'a listener secret': 'planted-listener-secret-3',
  'an authorization header': 'Bearer planted-authorization-4',
  'a header of an unusual name': 'planted-odd-header-5',
  'the admin token': ADMIN_TOKEN,
  'the master key': 'f00dcafe'.repeat(8),
  'a wrong token': 'planted-wrong-token-6',
  'a refused client key': 'planted-refused-key-7!',
  'the password of the database': 'planted-database-password-8',
  'the password of the broker': 'planted-broker-password-9',
} as const;
/** What may be in answers, in the database and with the receivers, and not in logs and metrics. */
const PAYLOAD = { 'the payload': 'planted-payload-10' } as const;
const HEADERS = {
  Authorization: SECRETS['an authorization header'],
  'X-Partner-Auth': SECRETS['a header of an unusual name'],
};

/** Calls the API and keeps what it answers. */
class Recorder {
  readonly #url: string;
  answers = '';

  constructor(url: string) {
    this.#url = url;
  }

  async call(
    method: string,
    path: string,
    { body, token = ADMIN_TOKEN }: { body?: unknown; token?: string | undefined } = {},
  ) {
    const answer = await request(this.#url + path, {
      method: method as 'GET',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    this.answers += `${method} ${path} ${String(answer.statusCode)} ${JSON.stringify(answer.headers)} ${text}\n`;
    return { status: answer.statusCode, text };
  }
}

describe.each(SURROUNDINGS)('secrets over %s', (kind) => {
  let flow: Flow;
  let user: DatabaseUser | null = null;
  const made: Record<string, string> = {};

  beforeAll(async () => {
    user = kind === 'RabbitMQ and MariaDB' ? await makeDatabaseUser() : null;
    flow = await Flow.start(kind, {
      EVENT_CENTER_MASTER_KEY: SECRETS['the master key'],
      EVENT_CENTER_LOG_LEVEL: 'debug',
      ...(user === null ? {} : { EVENT_CENTER_DATABASE_URL: user.url }),
    });
  }, TIMEOUT_MS);
  afterAll(async () => {
    await flow.close(/./);
    await user?.drop();
  }, TIMEOUT_MS);

  const log = () => readFileSync(join(flow.surroundings.dataDir, 'centre.log'), 'utf8');

  it(
    'stand in no answer, log line, metric, audit entry, failure, table or file, whatever happens',
    async () => {
      const recorder = new Recorder(flow.centre.url);
      const receiver = { appId: 'RECEIVER', appKey: SECRETS['an imported app key'] };
      flow.surroundings.noteNode(receiver.appId);
      await registerAll(flow, recorder, receiver, made);
      await sendAll(flow, receiver);
      await refuseAll(flow, recorder, receiver);
      await breakRegistry(flow, recorder, user?.url ?? null);
      await lookAtAll(recorder);
      const places: Places = {
        'the answers': recorder.answers,
        'the log': log(),
        'the metrics': (await flow.client.get('/metrics')).text,
        'standard output': flow.centre.output(),
        'the command line': readFileSync(`/proc/${String(flow.centre.pid)}/cmdline`, 'utf8'),
        'the tables': await tableTexts(flow, user?.url ?? null),
        ...filesBelow(flow.surroundings.dataDir),
      };
      expect(Object.keys(made)).toEqual(['a generated key', 'a rotated key', 'a made token']);
      expect(leaksIn(places, { ...SECRETS, ...made })).toEqual([]);
      const { 'the log': logged, 'the metrics': metrics } = places;
      expect(leaksIn({ logged: logged ?? '', metrics: metrics ?? '' }, PAYLOAD)).toEqual([]);
      // What was looked for has been there: receivers got it, and the log has the happenings.
      const received = JSON.stringify(flow.stub.calls());
      expect(leaksIn({ received }, { ...HEADERS, ...PAYLOAD })).toHaveLength(3);
      for (const event of ['event.accepted', 'event.refused', 'delivery.attempted']) {
        expect(log()).toContain(event);
      }
    },
    TIMEOUT_MS,
  );

  it('are found by the same search where they stand: a planted leak does not go unseen', () => {
    const secret = SECRETS['a client key'];
    for (const form of [secret, base64(secret), encodeURIComponent(secret), Buffer.from(secret).toString('hex')]) {
      expect(leaksIn({ log: `{"clientKey":"${form}"}` }, SECRETS)).toEqual(['a client key in log']);
    }
    expect(() => leaksIn({ log: '' }, SECRETS)).toThrow('there is nothing in log');
  });
});

describe('secrets at a start that fails', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'event-center-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  const password = SECRETS['the password of the database'];
  const expectNone = (output: string) => {
    expect(leaksIn({ output }, SECRETS)).toEqual([]);
  };

  slowIt(
    'are not told by a database that refuses the password',
    async () => {
      const { port } = new URL(databaseServer());
      const { code, stdout, stderr } = await runCentre(['migrate'], {
        EVENT_CENTER_DATA_DIR: folder,
        EVENT_CENTER_LOG_LEVEL: 'debug',
        EVENT_CENTER_MASTER_KEY: SECRETS['the master key'],
        EVENT_CENTER_DATABASE_URL: `mysql://nobody:${password}@127.0.0.1:${port || '3306'}/nothing`,
      });
      expect(code).toBe(1);
      expectNone(stdout + stderr);
    },
    TIMEOUT_MS,
  );

  slowIt(
    'are not told by a broker that refuses the password, or is not there',
    async () => {
      for (const place of ['127.0.0.1:5672', '127.0.0.1:9']) {
        const output = await outputUntil(/"level":"warn".*broker|broker.*"level":"warn"/, {
          EVENT_CENTER_DATA_DIR: folder,
          EVENT_CENTER_PORT: '0',
          EVENT_CENTER_LOG_LEVEL: 'debug',
          EVENT_CENTER_ADMIN_TOKEN: ADMIN_TOKEN,
          EVENT_CENTER_MASTER_KEY: SECRETS['the master key'],
          EVENT_CENTER_DATABASE_URL: `sqlite:${join(folder, 'event-center.sqlite')}`,
          EVENT_CENTER_BROKER_URL: `amqp://nobody:${SECRETS['the password of the broker']}@${place}`,
        });
        expectNone(output);
      }
    },
    TIMEOUT_MS,
  );

  it(
    'are not repeated in what is said about a wrong option or a broken file',
    async () => {
      const key = SECRETS['the master key'];
      const file = join(folder, 'broken.yaml');
      writeFileSync(file, `masterKey: "${key}\nadminToken: ${ADMIN_TOKEN}\n`);
      const wrong: Record<string, string>[] = [
        { EVENT_CENTER_MASTER_KEY: `${key}0` },
        { EVENT_CENTER_MASTER_KEY: key, EVENT_CENTER_MASTER_KEY_PREVIOUS: `${key},${key}0` },
        { EVENT_CENTER_DATABASE_URL: `postgres://nobody:${password}@host/database` },
        { EVENT_CENTER_BROKER_URL: `http://nobody:${SECRETS['the password of the broker']}@host` },
        { EVENT_CENTER_CONFIG: file },
      ];
      for (const environment of wrong) {
        const { code, stdout, stderr } = await runCentre(['check-config'], environment);
        expect([environment, code]).toEqual([environment, 1]);
        expectNone(stdout + stderr);
      }
    },
    TIMEOUT_MS,
  );

  it('are left out of the configuration that check-config prints, with an @ in a password too', async () => {
    const { code, stdout, stderr } = await runCentre(['check-config'], {
      EVENT_CENTER_MASTER_KEY: SECRETS['the master key'],
      EVENT_CENTER_MASTER_KEY_PREVIOUS: 'ab'.repeat(32),
      EVENT_CENTER_ADMIN_TOKEN: ADMIN_TOKEN,
      EVENT_CENTER_DATABASE_URL: `mysql://nobody:p@${password}@host/database`,
      EVENT_CENTER_BROKER_URL: ['one', 'two']
        .map((host) => `amqp://nobody:${SECRETS['the password of the broker']}@p@${host}/v`)
        .join(','),
    });
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toMatchObject({
      masterKey: '***',
      masterKeyPrevious: ['***'],
      broker: { url: 'amqp://nobody:***@one/v,amqp://nobody:***@two/v' },
      database: { url: 'mysql://nobody:***@host/database' },
    });
    expectNone(stdout);
    expect(stdout).not.toContain('abab');
  });
});

/** Nodes, listeners and tokens with every secret; `made` gets what the centre makes, shown once. */
async function registerAll(
  flow: Flow,
  recorder: Recorder,
  receiver: { appId: string; appKey: string },
  made: Record<string, string>,
): Promise<void> {
  const { client } = flow;
  const { appId: nodeCode, appKey } = receiver;
  await client.must('POST', '/nodes', { nodeCode, appKey, clientKey: SECRETS['a client key'] });
  flow.surroundings.noteNode('OTHER');
  made['a generated key'] = (await client.must('POST', '/nodes', { nodeCode: 'OTHER' })).appKey;
  made['a rotated key'] = (await client.must('POST', '/nodes/OTHER/rotate-key')).appKey;
  made['a made token'] = (await client.must('POST', '/tokens', { name: 'viewer', role: 'viewer' })).token;
  await recorder.call('GET', '/api/v1/nodes', { token: made['a made token'] });
  await recorder.call('POST', '/api/v1/nodes', { token: made['a made token'], body: { nodeCode: 'X' } });
}

/** Events that succeed, fail in every way and end in the failure log. */
async function sendAll(flow: Flow, receiver: { appId: string; appKey: string }): Promise<void> {
  const payload = { userObject: JSON.stringify({ text: PAYLOAD['the payload'] }) };
  const type = await flow.eventType();
  const secret = { headers: HEADERS, secret: SECRETS['a listener secret'] };
  const retry = { strategy: 'default', maxAttempts: 2 };
  const behaviours = ['success', 'error', 'close', 'garbage', 'redirect', 'false'] as const;
  const listeners = [];
  for (const behaviour of behaviours) {
    const listener = await flow.listener(receiver, type, { ...secret, retry });
    flow.stub.answer(listener.path, behaviour);
    listeners.push(listener);
  }
  const away = await flow.listener(receiver, type, { ...secret, retry, url: 'http://127.0.0.1:9/?q=1' });
  const eventId = await flow.send(type, { ...payload, uuid: 'k' });
  for (const [at, listener] of listeners.entries()) {
    await flow.deliveryIn(eventId, listener, behaviours[at] === 'success' ? 'succeeded' : 'failed');
  }
  await flow.deliveryIn(eventId, away, 'failed');
  for (const listener of [listeners[1], away]) {
    await flow.client.call('POST', `/listeners/${String(listener?.id)}/test`, { userObject: PAYLOAD['the payload'] });
  }
}

/** Requests that are refused, with secrets in them. */
async function refuseAll(flow: Flow, recorder: Recorder, receiver: { appId: string; appKey: string }): Promise<void> {
  const refusedKey = SECRETS['a refused client key'];
  const refused = (method: string, path: string, body: unknown, token = ADMIN_TOKEN) =>
    recorder.call(method, `/api/v1${path}`, { body, token });
  await refused('GET', '/nodes', undefined, SECRETS['a wrong token']);
  await refused('POST', '/nodes', { nodeCode: '', clientKey: refusedKey, appKey: { nested: refusedKey } });
  await refused('POST', '/nodes', `{"nodeCode": "Y", "clientKey": "${refusedKey}`);
  await refused('POST', '/nodes', { nodeCode: receiver.appId, clientKey: refusedKey });
  await refused('PATCH', `/nodes/${receiver.appId}`, { clientKey: refusedKey, nothing: 1 });
  const listener = { name: 'x', nodeCode: receiver.appId, sourceId: 'S', eventTypeCode: 'none', url: 'http://a.test/' };
  await refused('POST', '/listeners', { ...listener, headers: { ...HEADERS, 'bad name': refusedKey } });
  await refused('POST', '/listeners', { ...listener, headers: HEADERS, secret: `${refusedKey}\n`, url: 'ftp://a' });
  await refused('POST', '/tokens', { name: refusedKey.repeat(20), role: 'nothing' });
  const schema = { type: 'object', properties: { text: { type: 'integer' } } };
  const strict = await flow.eventType({ schema });
  const payload = { userObject: JSON.stringify({ text: PAYLOAD['the payload'] }) };
  expect((await flow.trySend(strict, payload)).code).toBe('SCHEMA_MISMATCH');
  const strange = { ...flow.sender, appKey: refusedKey };
  expect((await flow.trySend(strict, payload, strange)).code).toBe('BAD_SIGNATURE');
  expect((await flow.trySend(strict, { ...payload, deliverAt: PAYLOAD['the payload'] })).code).toBe('INVALID_PARAM');
}

/** A registry that cannot be read answers 500. */
async function breakRegistry(flow: Flow, recorder: Recorder, url: string | null): Promise<void> {
  await onDatabase(flow, url, async (database) => {
    const [row] = await database.run((manager) =>
      rowsOf<{ keyCheck: string }>(manager, 'SELECT key_check AS keyCheck FROM pub_registry'),
    );
    const keep = (keyCheck: string) =>
      database.run((manager) => execute(manager, 'UPDATE pub_registry SET key_check = ?', [keyCheck]));
    await keep('v1.00000000.x');
    const body = { clientKey: SECRETS['a client key'] };
    expect((await recorder.call('PATCH', `/api/v1/nodes/${flow.sender.appId}`, { body })).status).toBe(500);
    await keep(row?.keyCheck ?? '');
  });
}

/** Every call that only reads. */
async function lookAtAll(recorder: Recorder): Promise<void> {
  const { text } = await recorder.call('GET', '/openapi.json');
  const { paths } = JSON.parse(text) as { paths: Record<string, Record<string, unknown>> };
  const lists = Object.keys(paths).filter((path) => 'get' in (paths[path] ?? {}) && !path.includes('{'));
  expect(lists.length).toBeGreaterThan(8);
  const details: string[] = [];
  for (const path of lists) {
    const answer = await recorder.call('GET', path);
    for (const id of answer.text.matchAll(/"(?:id|eventId)":"([0-9a-f-]{36})"/g))
      details.push(`${path}/${id[1] ?? ''}`);
  }
  for (const path of details.slice(0, 100)) await recorder.call('GET', path);
  await recorder.call('GET', '/api/v1/nodes/RECEIVER');
  for (const path of ['/readyz', '/healthz', '/docs', '/nothing']) await recorder.call('GET', path);
}

async function onDatabase(
  flow: Flow,
  url: string | null,
  work: (database: ReturnType<typeof openDatabase>) => Promise<void>,
): Promise<void> {
  const own = url ?? `sqlite:${join(flow.surroundings.dataDir, 'event-center.sqlite')}`;
  const database = openDatabase({
    url: own,
    poolSize: 2,
    queryTimeoutMs: 10_000,
    entities,
    migrations,
    log: silentLog,
  });
  try {
    await database.waitUntilReady(10_000);
    await work(database);
  } finally {
    await database.close();
  }
}

/** All that stands in the database. */
async function tableTexts(flow: Flow, url: string | null): Promise<string> {
  let text = '';
  await onDatabase(flow, url, async (database) => {
    const sql = database.isSqlite
      ? "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'pub%'"
      : 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()';
    for (const { name } of await database.run((manager) => rowsOf<{ name: string }>(manager, sql))) {
      const rows = await database.run((manager) => rowsOf<Record<string, unknown>>(manager, `SELECT * FROM ${name}`));
      for (const value of rows.flatMap((row) => Object.values(row))) {
        text += `${Buffer.isBuffer(value) ? value.toString('latin1') : String(value)}\n`;
      }
    }
  });
  return text;
}

interface DatabaseUser {
  url: string;
  drop(): Promise<void>;
}

function databaseServer(): string {
  return process.env['EVENT_CENTER_TEST_DATABASE_URL'] ?? 'mysql://root@127.0.0.1:3306';
}

/** A database of its own, with a user of its own who has the planted password. */
async function makeDatabaseUser(): Promise<DatabaseUser> {
  const name = `ec_leak_${String(process.pid)}_${Date.now().toString(36)}`;
  const password = SECRETS['the password of the database'];
  const perform = async (statements: string[]): Promise<void> => {
    const connection = await createConnection(databaseServer());
    for (const statement of statements) await connection.query(statement);
    await connection.end();
  };
  const users = ["'%'", "'localhost'"].map((host) => `'${name}'@${host}`);
  await perform([
    `CREATE DATABASE ${name}`,
    ...users.map((user) => `CREATE USER ${user} IDENTIFIED BY '${password}'`),
    ...users.map((user) => `GRANT ALL ON ${name}.* TO ${user}`),
  ]);
  const url = new URL(databaseServer());
  url.username = name;
  url.password = password;
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: () => perform([`DROP DATABASE ${name}`, ...users.map((user) => `DROP USER ${user}`)]),
  };
}

/** Starts a centre that cannot become ready; gives all that it said until it said what was waited for and ended. */
async function outputUntil(expected: RegExp, environment: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = once(child, 'exit');
  try {
    await until('the broker is missed', () => Promise.resolve(expected.test(output) ? true : null));
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
  return output;
}
