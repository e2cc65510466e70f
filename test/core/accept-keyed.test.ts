import { uuidV5 } from '../../src/core/ids.js';
import { STORE_WAIT_MS } from '../../src/core/accepting/late-store.js';
import type { Submission } from '../../src/core/accepting/submission.js';
import { AcceptingSetting, aNode, anEventType } from '../support/accepting.js';

const CONFIRM_TIMEOUT_MS = 5_000;
const TTL_MS = 60_000;

function newSetting(): AcceptingSetting {
  return new AcceptingSetting(
    { nodes: [aNode('A'), aNode('B')], eventTypes: [anEventType('USER', 'ADD')] },
    { confirmTimeoutMs: CONFIRM_TIMEOUT_MS, idempotencyTtlMs: TTL_MS },
  );
}

function send(setting: AcceptingSetting, change: Partial<Submission> = {}, appId = 'A') {
  const submission = {
    sourceId: 'USER',
    eventType: 'ADD',
    tenantCode: null,
    userObject: 'x',
    uuid: 'key',
    deliverAt: null,
    orderKey: null,
    traceparent: null,
    ...change,
  };
  const bodyFields = Object.entries(submission).filter(
    (field): field is [string, string] => field[0] !== 'uuid' && typeof field[1] === 'string',
  );
  return setting.acceptor.acceptSigned(
    { appId, ts: String(setting.clock.time), sign: 'right', isSignedWith: () => true, unreadable: null },
    () => ({ bodyFields, ...submission }),
  );
}

describe('a keyed event', () => {
  it('has the UUIDv5 of application and key, and its repeat is a duplicate', async () => {
    const setting = newSetting();
    const eventId = uuidV5('A', 'key');
    expect(await send(setting)).toEqual({ eventId, code: 'OK' });
    expect(await send(setting)).toEqual({ eventId, code: 'DUPLICATE' });
    expect(setting.broker.messages).toMatchObject([{ claimSteps: false, event: { eventId, senderUuid: 'key' } }]);
    expect(setting.metrics.counts.get('accepted DUPLICATE')).toBe(1);
  });

  it('has its key in the scope of its application', async () => {
    const setting = newSetting();
    const [a, b] = [await send(setting, {}, 'A'), await send(setting, {}, 'B')];
    expect([a.code, b.code]).toEqual(['OK', 'OK']);
    expect(a.eventId).not.toBe(b.eventId);
  });

  it('may be sent anew when its key has expired', async () => {
    const setting = newSetting();
    await send(setting);
    setting.clock.time += TTL_MS;
    expect((await send(setting)).code).toBe('OK');
  });

  it.each<[string, Partial<Submission>]>([
    ['payload', { userObject: 'y' }],
    ['absent payload', { userObject: null }],
    ['tenant', { tenantCode: 't' }],
    ['time', { deliverAt: '1467345600001' }],
    ['field that the centre does not know', { bodyFields: [['region', 'north']] }],
  ])('is refused when another %s came under its key', async (_name, change) => {
    const setting = newSetting();
    await send(setting);
    await expect(send(setting, change)).rejects.toMatchObject({ code: 'INVALID_PARAM', fields: [{ path: 'uuid' }] });
    expect(setting.broker.messages).toHaveLength(1);
  });

  it('is a duplicate when its fields come in another order', async () => {
    const setting = newSetting();
    const fields: [string, string][] = [
      ['a', '1'],
      ['b', '2'],
      ['a', '0'],
    ];
    await send(setting, { bodyFields: fields });
    expect((await send(setting, { bodyFields: fields.toReversed() })).code).toBe('DUPLICATE');
    for (const other of [
      [
        ['a', '1'],
        ['b', '2'],
      ],
      [
        ['a', '12'],
        ['b', ''],
        ['a', '0'],
      ],
      [
        ['a1', ''],
        ['b', '2'],
        ['a', '0'],
      ],
    ]) {
      await expect(send(setting, { bodyFields: other as [string, string][] })).rejects.toMatchObject({
        code: 'INVALID_PARAM',
      });
    }
  });

  it('published twice at the same time is published once', async () => {
    const setting = newSetting();
    let confirm = (): void => undefined;
    setting.broker.beforeConfirm = () => new Promise((resolve) => (confirm = resolve));
    const first = send(setting);
    await expect(send(setting)).rejects.toMatchObject({ code: 'IN_PROGRESS', retryAfterSeconds: 1 });
    confirm();
    expect((await first).code).toBe('OK');
    expect((await send(setting)).code).toBe('DUPLICATE');
    expect(setting.broker.messages).toHaveLength(1);
  });

  it('frees its key at a 503, and its repeat is claimed step by step under the same id', async () => {
    const setting = newSetting();
    setting.broker.refuse = 1;
    await expect(send(setting)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await send(setting)).toEqual({ eventId: uuidV5('A', 'key'), code: 'OK' });
    expect(setting.broker.messages).toMatchObject([{ claimSteps: true }]);
    expect((await send(setting)).code).toBe('DUPLICATE');
  });

  it('is published again when a crash left its key pending for twice the confirm time-out', async () => {
    const setting = newSetting();
    setting.broker.beforeConfirm = () => new Promise(() => undefined);
    void send(setting);
    await new Promise((resolve) => setImmediate(resolve));
    setting.broker.beforeConfirm = () => Promise.resolve();
    setting.clock.time += 2 * CONFIRM_TIMEOUT_MS - 1;
    await expect(send(setting)).rejects.toMatchObject({ code: 'IN_PROGRESS' });
    setting.clock.time += 1;
    expect((await send(setting)).code).toBe('OK');
    expect(setting.broker.messages).toMatchObject([{ claimSteps: true }]);
  });

  it('is accepted under the same id while the database is away, and the loss is counted', async () => {
    const setting = newSetting();
    setting.idempotency.away = 'yes';
    const eventId = uuidV5('A', 'key');
    expect(await send(setting)).toEqual({ eventId, code: 'OK' });
    expect(await send(setting)).toEqual({ eventId, code: 'OK' });
    expect(setting.broker.messages).toMatchObject([{ claimSteps: true }, { claimSteps: true }]);
    expect(setting.metrics.counts.get('deduplication lost')).toBe(2);
  });

  it('is accepted when the database goes away before its key is marked done', async () => {
    const setting = newSetting();
    setting.idempotency.away = 'after begin';
    expect((await send(setting)).code).toBe('OK');
    expect(setting.metrics.counts.get('idempotency.done.failed')).toBe(1);
    setting.idempotency.away = 'no';
    setting.clock.time += 2 * CONFIRM_TIMEOUT_MS;
    expect((await send(setting)).code).toBe('OK');
    expect(setting.broker.messages.map((message) => message.claimSteps)).toEqual([false, true]);
  });

  it('stays unknown to its sender when neither broker nor database answers', async () => {
    const setting = newSetting();
    setting.idempotency.away = 'after begin';
    setting.broker.refuse = 1;
    await expect(send(setting)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    setting.idempotency.away = 'no';
    await expect(send(setting)).rejects.toMatchObject({ code: 'IN_PROGRESS' });
    setting.clock.time += 2 * CONFIRM_TIMEOUT_MS;
    expect((await send(setting)).code).toBe('OK');
  });

  it('can be scheduled', async () => {
    const setting = newSetting();
    const deliverAt = String(setting.clock.time + 1_000);
    await send(setting, { deliverAt });
    expect((await send(setting, { deliverAt })).code).toBe('DUPLICATE');
    setting.clock.time += 2_000;
    expect((await send(setting, { deliverAt })).code).toBe('DUPLICATE');
    expect(setting.broker.scheduled).toHaveLength(1);
  });

  it('never loses an event, whatever fails between its repeats', async () => {
    const failures = ['none', 'broker', 'database', 'database after begin', 'both'] as const;
    for (const first of failures) {
      for (const second of failures) {
        const setting = newSetting();
        for (const failure of [first, second, 'none'] as const) {
          setting.broker.refuse = failure === 'broker' || failure === 'both' ? 1 : 0;
          setting.idempotency.away =
            failure === 'database' || failure === 'both'
              ? 'yes'
              : failure === 'database after begin'
                ? 'after begin'
                : 'no';
          const published = setting.broker.messages.length;
          const answer = await send(setting).catch((error: unknown) => error as { code: string });
          const isSafe =
            answer.code === 'OK'
              ? setting.broker.messages.length === published + 1
              : setting.broker.messages.length === published;
          expect([first, second, answer.code, isSafe]).toEqual([first, second, answer.code, true]);
          if (answer.code === 'DUPLICATE') expect(published).toBeGreaterThan(0);
          setting.clock.time += 2 * CONFIRM_TIMEOUT_MS;
        }
        expect(setting.broker.messages.length).toBeGreaterThan(0);
        expect(new Set(setting.broker.events.map((event) => event.eventId)).size).toBe(1);
      }
    }
  });
});

describe('a keyed event while the database hangs', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick'] });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  /** Lets what is pending go on as far as it can without time. */
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it('is accepted after two seconds, and its key is done once the database answers', async () => {
    const setting = newSetting();
    const answer = setting.idempotency.hang();
    const sending = send(setting);
    await jest.advanceTimersByTimeAsync(STORE_WAIT_MS - 1);
    expect(setting.broker.messages).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect((await sending).code).toBe('OK');
    expect(setting.broker.messages).toMatchObject([{ claimSteps: true }]);
    expect(setting.metrics.counts.get('deduplication lost')).toBe(1);
    answer();
    await settled();
    expect((await send(setting)).code).toBe('DUPLICATE');
    await expect(send(setting, { userObject: 'y' })).rejects.toMatchObject({ code: 'INVALID_PARAM' });
  });

  it('frees the key that was recorded late when the broker did not confirm', async () => {
    const setting = newSetting();
    const answer = setting.idempotency.hang();
    setting.broker.refuse = 1;
    const sending = expect(send(setting)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await jest.advanceTimersByTimeAsync(STORE_WAIT_MS);
    await sending;
    answer();
    await settled();
    expect((await send(setting)).code).toBe('OK');
    expect((await send(setting)).code).toBe('DUPLICATE');
    expect(setting.broker.messages).toHaveLength(1);
  });

  it('keeps a key pending that was recorded late until the broker has confirmed', async () => {
    const setting = newSetting();
    const answer = setting.idempotency.hang();
    let confirm = (): void => undefined;
    setting.broker.beforeConfirm = () => new Promise((resolve) => (confirm = resolve));
    const sending = send(setting);
    await jest.advanceTimersByTimeAsync(STORE_WAIT_MS);
    answer();
    await settled();
    await expect(send(setting)).rejects.toMatchObject({ code: 'IN_PROGRESS' });
    confirm();
    expect((await sending).code).toBe('OK');
    await settled();
    expect((await send(setting)).code).toBe('DUPLICATE');
  });

  it('leaves the key alone when another call took it meanwhile', async () => {
    const setting = newSetting();
    const answer = setting.idempotency.hang();
    setting.broker.refuse = 1;
    const late = expect(send(setting)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await jest.advanceTimersByTimeAsync(STORE_WAIT_MS);
    await late;
    setting.idempotency.unhang();
    expect((await send(setting)).code).toBe('OK');
    answer();
    await settled();
    expect((await send(setting)).code).toBe('DUPLICATE');
  });

  it('is answered two seconds after its confirm when the key cannot be marked, which goes on', async () => {
    const setting = newSetting();
    let confirm = (): void => undefined;
    setting.broker.beforeConfirm = () => new Promise((resolve) => (confirm = resolve));
    const sending = send(setting);
    await settled();
    const answer = setting.idempotency.hang();
    confirm();
    await jest.advanceTimersByTimeAsync(STORE_WAIT_MS);
    expect((await sending).code).toBe('OK');
    answer();
    await settled();
    expect((await send(setting)).code).toBe('DUPLICATE');
    expect(setting.metrics.counts.get('idempotency.done.failed')).toBe(1);
  });
});
