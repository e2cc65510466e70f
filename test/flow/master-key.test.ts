import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecretBox } from '../../src/store/secrets.js';
import { runCentre, startCentreProcess, type CentreProcess } from '../support/centre-process.js';
import { CentreClient } from '../support/centre-client.js';
import { Flow } from '../support/flow.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

const [OLD, NEW] = ['5c'.repeat(32), 'd1'.repeat(32)] as const;
const CLIENT_KEY = 'Y2xpZW50LXNlY3JldC1rZXktMTIz';
const BETWEEN_SENDS_MS = 100;
/** Four processes start one after another. */
const TIMEOUT_MS = 300_000;
const idOf = (key: string) => new SecretBox(key).keyId;

const onServers = SURROUNDINGS.includes('RabbitMQ and MariaDB') ? describe : describe.skip;

onServers('a new master key for several processes', () => {
  let flow: Flow;
  const folders: string[] = [];

  beforeAll(async () => {
    flow = await Flow.start('RabbitMQ and MariaDB', {});
  });
  afterAll(async () => {
    await flow.close();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  it(
    'comes and the old one goes, process by process, under sends of which none is lost or refused',
    async () => {
      const second = mkdtempSync(join(tmpdir(), 'event-center-second-'));
      folders.push(second);
      const dataDirs = [flow.surroundings.dataDir, second];
      const running: CentreProcess[] = [flow.centre, await flow.startAnother({}, second)];
      const receiver = await flow.node({ clientKey: CLIENT_KEY });
      const type = await flow.eventType();
      const listener = await flow.listener(receiver, type, { headers: { 'x-api-key': 'for the receiver' } });
      /** Each process after the other is replaced by one with other keys, which is spoken to before the former ends. */
      const roll = async (keys: Record<string, string>, between: () => Promise<void> = async () => {}) => {
        for (const [at, dataDir] of dataDirs.entries()) {
          const former = running[at] as CentreProcess;
          running[at] = await flow.startCentre({ ...keys, EVENT_CENTER_DATA_DIR: dataDir });
          if (at === 0) await between();
          expect(await former.stop()).toBe(0);
        }
      };

      const sent: string[] = [];
      const enough = new AbortController();
      const sends = (async () => {
        while (!enough.signal.aborted) {
          sent.push(await flow.send(type, { userObject: String(sent.length) }));
          await new Promise((resolve) => setTimeout(resolve, BETWEEN_SENDS_MS));
        }
      })();
      try {
        await roll({ EVENT_CENTER_MASTER_KEY: NEW, EVENT_CENTER_MASTER_KEY_PREVIOUS: OLD }, async () => {
          // What a process with both keys registers is read by one that has the old key only.
          const registered = await flow.node();
          const old = running[1] as CentreProcess;
          const codes = { sourceID: type.sourceId, eventType: type.eventTypeCode };
          expect((await new CentreClient(old.url, old.token).send(registered, codes)).code).toBe('OK');
        });

        const environment = {
          ...flow.surroundings.environment,
          EVENT_CENTER_MASTER_KEY: NEW,
          EVENT_CENTER_MASTER_KEY_PREVIOUS: OLD,
        };
        const first = await runCentre(['rotate-master-key'], environment);
        expect([first.code, first.stdout]).toEqual([
          0,
          expect.stringMatching(
            new RegExp(`^master key ${idOf(NEW)}: \\d+ secrets encrypted anew, 0 already under it, 0 unr`),
          ),
        ]);
        const again = await runCentre(['rotate-master-key'], environment);
        expect([again.code, again.stdout]).toEqual([
          0,
          expect.stringMatching(/: 0 secrets encrypted anew, \d+ already/),
        ]);

        await roll({ EVENT_CENTER_MASTER_KEY: NEW });
      } finally {
        enough.abort();
      }
      await sends;

      expect(sent.length).toBeGreaterThan(20);
      for (const eventId of sent) await flow.deliveryIn(eventId, listener, 'succeeded');
      const calls = sent.flatMap((eventId) => flow.callsOf(eventId, listener));
      expect(calls.length).toBeGreaterThanOrEqual(sent.length);
      expect(calls.every(({ headers }) => typeof headers['sign'] === 'string')).toBe(true);
      expect(new Set(calls.map(({ headers }) => headers['x-api-key']))).toEqual(new Set(['for the receiver']));
      expect(JSON.parse((await flow.client.get('/readyz')).text)).toMatchObject({ degraded: [] });
      const audit = await flow.client.all('/audit');
      expect(audit.filter(({ action }) => action === 'master-key.rotated')).toHaveLength(1);
      const late = await runCentre(['serve'], {
        ...flow.surroundings.environment,
        EVENT_CENTER_DATA_DIR: join(second, 'late'),
        EVENT_CENTER_MASTER_KEY: OLD,
        EVENT_CENTER_PORT: '0',
      });
      expect([late.code, late.stderr]).toEqual([1, expect.stringContaining('another master key')]);
    },
    TIMEOUT_MS,
  );
});

describe('the generated master key', () => {
  let dataDir: string;

  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'event-center-'));
  });
  afterEach(() => {
    rmSync(dataDir, { recursive: true, force: true });
  });

  const start = () => startCentreProcess({ dataDir, environment: { EVENT_CENTER_MASTER_KEY: '' } });
  const rotate = () => runCentre(['rotate-master-key'], { EVENT_CENTER_DATA_DIR: dataDir });
  const keyFile = () => readFileSync(join(dataDir, 'master.key'), 'utf8');

  it('is replaced in its file while the centre stands still, and nothing else changes', async () => {
    let centre = await start();
    let client = new CentreClient(centre.url, centre.token);
    const { appKey } = await client.must('POST', '/nodes', { nodeCode: 'A', clientKey: CLIENT_KEY });
    await client.must('POST', '/event-types', { sourceId: 'S', eventTypeCode: 'T' });
    const former = keyFile();

    const refused = await rotate();
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('another process')]);
    expect(keyFile()).toBe(former);
    expect(await centre.stop()).toBe(0);

    const done = await rotate();
    expect([done.code, done.stdout]).toEqual([0, expect.stringContaining(': 2 secrets encrypted anew, 0 already')]);
    expect(keyFile()).toMatch(/^[0-9a-f]{64}$/);
    expect(keyFile()).not.toBe(former);
    expect(statSync(join(dataDir, 'master.key')).mode & 0o777).toBe(0o600);

    centre = await start();
    client = new CentreClient(centre.url, centre.token);
    const answer = await until('the node is known', () =>
      client.send({ appId: 'A', appKey }, { sourceID: 'S', eventType: 'T' }),
    );
    expect(answer.code).toBe('OK');
    expect(JSON.parse((await client.get('/readyz')).text)).toMatchObject({ degraded: [] });
    expect(await centre.stop()).toBe(0);
  });
});
