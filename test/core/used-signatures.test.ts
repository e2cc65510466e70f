import { UsedSignatures } from '../../src/core/accepting/used-signatures.js';
import { EventCenterError } from '../../src/core/errors.js';
import { aNode, AcceptingSetting, VECTOR_TS } from '../support/accepting.js';

const CALL = { appId: 'A', sign: 'a'.repeat(40), ts: VECTOR_TS };
const unavailable = () => Promise.reject(new EventCenterError('UNAVAILABLE', 'the broker did not confirm'));

/** Fakes, and several processes that share them. */
function newSetting() {
  const setting = new AcceptingSetting({ nodes: [aNode('A')] });
  const { idempotency, metrics, clock, log } = setting;
  const options = { clockSkewMs: 300_000, confirmTimeoutMs: 5_000 };
  return { setting, aProcess: () => new UsedSignatures({ idempotency, metrics, clock, log, options }) };
}
const work = jest.fn(() => Promise.resolve('done'));
beforeEach(() => work.mockClear());

describe('a used signature', () => {
  it('does its work once, in whatever process, and for each application by itself', async () => {
    const { aProcess } = newSetting();
    const [one, other] = [aProcess(), aProcess()];
    expect(await one.once(CALL, work)).toBe('done');
    for (const process of [one, other, other, aProcess()]) {
      await expect(process.once(CALL, work)).rejects.toMatchObject({ code: 'SIGNATURE_USED' });
    }
    expect(work).toHaveBeenCalledTimes(1);
    await other.once({ ...CALL, appId: 'B' }, work);
    await other.once({ ...CALL, sign: 'b'.repeat(40) }, work);
    expect(work).toHaveBeenCalledTimes(3);
  });

  it('is only one whose work succeeded: after a 503 or a refusal the very same request may come again', async () => {
    const { aProcess } = newSetting();
    const [one, other] = [aProcess(), aProcess()];
    await expect(one.once(CALL, unavailable)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(other.once(CALL, unavailable)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await one.once(CALL, work)).toBe('done');
  });

  it('is under way until its work ends, here and in other processes', async () => {
    const { aProcess } = newSetting();
    const [one, other] = [aProcess(), aProcess()];
    let end = (_value: string): void => undefined;
    const first = one.once(CALL, () => new Promise<string>((resolve) => (end = resolve)));
    for (const process of [one, other]) {
      await expect(process.once(CALL, work)).rejects.toMatchObject({ code: 'IN_PROGRESS', retryAfterSeconds: 1 });
    }
    end('done');
    expect(await first).toBe('done');
    for (const process of [one, other]) {
      await expect(process.once(CALL, work)).rejects.toMatchObject({ code: 'SIGNATURE_USED' });
    }
    expect(work).not.toHaveBeenCalled();
  });

  it('of a process that crashed may be used after twice the confirm time-out', async () => {
    const { setting, aProcess } = newSetting();
    void aProcess().once(CALL, () => new Promise(() => undefined));
    await expect(aProcess().once(CALL, work)).rejects.toMatchObject({ code: 'IN_PROGRESS' });
    setting.clock.time += 10_000;
    expect(await aProcess().once(CALL, work)).toBe('done');
  });

  it('is known to its own process only while the database is away, which is counted', async () => {
    const { setting, aProcess } = newSetting();
    setting.idempotency.away = 'yes';
    const [one, other] = [aProcess(), aProcess()];
    expect(await one.once(CALL, work)).toBe('done');
    await expect(one.once(CALL, work)).rejects.toMatchObject({ code: 'SIGNATURE_USED' });
    expect(await other.once(CALL, work)).toBe('done');
    expect(setting.metrics.counts.get('used-signature.not-checked')).toBe(2);
    const another = { ...CALL, sign: 'b'.repeat(40) };
    const both = await Promise.allSettled([one.once(another, work), one.once(another, work)]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(both[1]).toMatchObject({ reason: { code: 'IN_PROGRESS' } });
  });

  it('fails nothing when it cannot be settled, and is refused by the process that saw it', async () => {
    const { setting, aProcess } = newSetting();
    setting.idempotency.away = 'after begin';
    const one = aProcess();
    expect(await one.once(CALL, work)).toBe('done');
    expect(setting.metrics.counts.get('used-signature.not-settled')).toBe(1);
    await expect(one.once(CALL, work)).rejects.toMatchObject({ code: 'SIGNATURE_USED' });
  });

  it.each(['done', 'free'])('is settled as %s when the store answers too late', async (how) => {
    const { setting, aProcess } = newSetting();
    const answer = setting.idempotency.hang();
    const first = aProcess().once(CALL, how === 'done' ? work : unavailable);
    const [ended] = await Promise.allSettled([first]);
    expect(ended.status).toBe(how === 'done' ? 'fulfilled' : 'rejected');
    answer();
    await new Promise(setImmediate);
    const [again] = await Promise.allSettled([aProcess().once(CALL, work)]);
    expect(again).toMatchObject(
      how === 'done' ? { status: 'rejected', reason: { code: 'SIGNATURE_USED' } } : { status: 'fulfilled' },
    );
  });

  it('is remembered until its timestamp is not good any more, and then forgotten', async () => {
    const { setting, aProcess } = newSetting();
    setting.idempotency.away = 'yes';
    const one = aProcess();
    await one.once(CALL, work);
    setting.clock.time += 300_000;
    await expect(one.once(CALL, work)).rejects.toMatchObject({ code: 'SIGNATURE_USED' });
    setting.clock.time += 10_000;
    // Refused before it comes here, by its timestamp; that it is let through shows that no memory is kept of it.
    expect(await one.once(CALL, work)).toBe('done');
  });

  it('is refused by another process too up to the last millisecond of its timestamp, also of one in the future', async () => {
    for (const aheadMs of [-300_000, 0, 300_000]) {
      const { setting, aProcess } = newSetting();
      const call = { ...CALL, ts: VECTOR_TS + aheadMs };
      await aProcess().once(call, work);
      setting.clock.time = call.ts + 300_000;
      await expect(aProcess().once(call, work)).rejects.toMatchObject({ code: 'SIGNATURE_USED' });
    }
  });

  it('never stands in the way of an idempotency key with the same text', async () => {
    const { setting, aProcess } = newSetting();
    await aProcess().once(CALL, work);
    const entry = { eventId: 'e', bodyHash: Buffer.alloc(32), now: VECTOR_TS, ttlMs: 1, staleAfterMs: 1 };
    for (const key of [CALL.sign, `sign:${CALL.sign}`]) {
      expect(await setting.idempotency.begin({ appId: 'A', key }, entry)).toEqual({ state: 'new' });
    }
  });
});
