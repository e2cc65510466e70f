import { join } from 'node:path';
import { migrations } from '../../migrations/index.js';
import { openDatabase } from '../../src/store/database.js';
import { entities } from '../../src/store/entities.js';
import { execute, rowsOf } from '../../src/store/sql.js';
import { runCentre } from '../support/centre-process.js';
import { silentLog } from '../support/databases.js';
import { Flow } from '../support/flow.js';
import { SURROUNDINGS, type Surroundings } from '../support/surroundings.js';
import { until } from '../support/until.js';

const OTHER_KEY = 'ab'.repeat(32);
const CLIENT_KEY = 'Y2xpZW50LXNlY3JldC1rZXktMTIz';

describe.each(SURROUNDINGS)('secrets that do not open on %s', (kind) => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start(kind, { EVENT_CENTER_RETRY_DELAYS_MS: '200,400' });
  });
  afterAll(() => flow.close(/registry\.(secret-unreadable|not-loaded)|another master key/));

  const readiness = async () => JSON.parse((await flow.client.get('/readyz')).text);
  const isReady = (degraded: string[]) =>
    until(`degraded is ${degraded.join() || 'empty'}`, async () => {
      const { degraded: found } = await readiness();
      return found.join() === degraded.join() ? true : null;
    });
  /** Raises the version of the registry, as any change does. */
  const change = async () => flow.node();

  it('freeze nobody else, show, and are mended by a new key', async () => {
    const [bad, other] = [await flow.node(), await flow.node()];
    const type = await flow.eventType();
    await damage(flow.surroundings, 'pub_event_node', 'app_key', ['node_code', bad.appId]);

    await flow.client.must('PATCH', `/nodes/${other.appId}`, { enabled: false });
    await until('the disabled node is refused', async () =>
      (await flow.trySend(type, {}, other)).code === 'UNKNOWN_APP' ? true : null,
    );
    expect((await flow.trySend(type, {}, bad)).code).toBe('BAD_SIGNATURE');
    await isReady(['secrets']);
    expect((await flow.client.get('/readyz')).status).toBe(200);
    expect((await flow.metric('event_center_unreadable_secrets')).get('')).toBe(1);
    expect(flow.errorsLogged().filter((line) => line.includes(bad.appId))).toHaveLength(1);

    expect(await flow.client.must('PATCH', `/nodes/${bad.appId}`, { note: 'x' })).toMatchObject({
      unreadable: ['appKey'],
    });
    const { appKey } = await flow.client.must('POST', `/nodes/${bad.appId}/rotate-key`);
    await until('the new key is good', async () =>
      (await flow.trySend(type, {}, { ...bad, appKey })).code === 'OK' ? true : null,
    );
    await isReady([]);
  });

  it('hold calls back instead of letting them go unsigned, until there is another key', async () => {
    const node = await flow.node({ clientKey: CLIENT_KEY });
    const type = await flow.eventType();
    const listener = await flow.listener(node, type, { retry: { strategy: 'loop', delaysMs: [200] } });
    await damage(flow.surroundings, 'pub_event_node', 'client_key', ['node_code', node.appId]);
    await change();
    await isReady(['secrets']);

    const eventId = await flow.send(type);
    const { lastError } = await flow.deliveryIn(eventId, listener, 'retrying');
    expect(lastError).toContain(`the clientKey of node ${node.appId} cannot be decrypted`);
    expect(flow.callsOf(eventId)).toEqual([]);
    await flow.client.must('PATCH', `/nodes/${node.appId}`, { clientKey: CLIENT_KEY });
    await flow.deliveryIn(eventId, listener, 'succeeded');
    expect(flow.callsOf(eventId).map((call) => typeof call.headers['sign'])).toEqual(['string']);

    await damage(flow.surroundings, 'pub_eventlistener', 'headers', ['node_code', node.appId]);
    await change();
    await isReady(['secrets']);
    await flow.client.must('DELETE', `/listeners/${listener.id}`);
    await isReady([]);
  });

  it('let no process with another master key begin, and say which key is asked for', async () => {
    const { code, stderr } = await runCentre(['serve'], {
      ...flow.surroundings.environment,
      ...(kind === 'RabbitMQ and MariaDB' ? {} : { EVENT_CENTER_DATABASE_URL: databaseUrl(flow.surroundings) }),
      EVENT_CENTER_DATA_DIR: join(flow.surroundings.dataDir, 'another'),
      EVENT_CENTER_PORT: '0',
      EVENT_CENTER_MASTER_KEY: OTHER_KEY,
    });
    expect([code, stderr]).toEqual([1, expect.stringContaining('another master key (EVENT_CENTER_MASTER_KEY)')]);
    expect(stderr).toContain('master.key');
    await flow.client.must('PATCH', `/nodes/${flow.sender.appId}`, { note: 'unharmed' });
    await isReady([]);
  });

  it('show a registry that cannot be refreshed although the database answers', async () => {
    expect((await flow.metric('event_center_registry_check_age_seconds')).get('')).toBeLessThan(5);
    const before = (await flow.metric('event_center_registry_version')).get('');
    await onDatabase(flow.surroundings, async (database) => {
      const [row] = await database.run((manager) =>
        rowsOf<{ keyCheck: string }>(manager, 'SELECT key_check AS keyCheck FROM pub_registry'),
      );
      const keep = (keyCheck: string) =>
        database.run((manager) =>
          execute(manager, 'UPDATE pub_registry SET version = version + 1, key_check = ?', [keyCheck]),
        );
      await keep('v1.00000000.x');
      await isReady(['registry']);
      expect((await readiness()).reasons).toEqual([
        expect.stringMatching(new RegExp(`stays at version ${before}: .*another master key`)),
      ]);
      expect((await flow.metric('event_center_registry_version')).get('')).toBe(before);
      const refused = await flow.client.call('PATCH', `/nodes/${flow.sender.appId}`, { note: 'refused' });
      expect(refused).toMatchObject({ status: 500, body: { code: 'CONFIG_INVALID' } });
      await keep(row!.keyCheck);
    });
    await isReady([]);
  });
});

function databaseUrl({ environment, dataDir }: Surroundings): string {
  return environment['EVENT_CENTER_DATABASE_URL'] ?? `sqlite:${join(dataDir, 'event-center.sqlite')}`;
}

async function onDatabase<T>(
  surroundings: Surroundings,
  work: (database: ReturnType<typeof openDatabase>) => Promise<T>,
): Promise<T> {
  const url = databaseUrl(surroundings);
  const database = openDatabase({ url, poolSize: 2, queryTimeoutMs: 5_000, entities, migrations, log: silentLog });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** Alters a character of what is sealed. */
function damage(
  surroundings: Surroundings,
  table: string,
  column: string,
  [keyColumn, key]: [string, string],
): Promise<void> {
  return onDatabase(surroundings, (database) =>
    database.transaction(async (manager) => {
      const select = `SELECT ${column} AS sealed FROM ${table} WHERE ${keyColumn} = ?`;
      const [row] = await rowsOf<{ sealed: string }>(manager, select, [key]);
      const sealed = row!.sealed.replace(/.{3}$/, (end) => (end === 'AAA' ? 'BBB' : 'AAA'));
      await execute(manager, `UPDATE ${table} SET ${column} = ? WHERE ${keyColumn} = ?`, [sealed, key]);
    }),
  );
}
