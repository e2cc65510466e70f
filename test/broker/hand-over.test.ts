import { decide, HandlerFailures } from '../../src/broker/hand-over.js';
import { EventCenterError } from '../../src/core/errors.js';
import type { Settlement } from '../../src/core/ports.js';
import { silentLog } from '../support/brokers.js';

describe('a message whose handler fails', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  /** What becomes of a message at each of some deliveries. */
  async function deliver(
    messageId: string,
    handler: () => Promise<Settlement>,
    { failures, times }: { failures: HandlerFailures | null; times: number },
  ): Promise<Settlement[]> {
    const settlements: Settlement[] = [];
    const incoming = { messageId, decoded: { ok: true as const, message: 1 }, redelivered: true, bytes: 1 };
    for (let n = 0; n < times; n += 1) {
      const decided = decide(incoming, { queue: 'q', handler, failures, log: silentLog });
      await jest.advanceTimersByTimeAsync(1_000);
      settlements.push(await decided);
    }
    return settlements;
  }

  const fails = (): Promise<Settlement> => Promise.reject(new RangeError('Maximum call stack size exceeded'));
  const isAway = (): Promise<Settlement> => Promise.reject(new EventCenterError('UNAVAILABLE', 'not loaded yet'));

  it('goes back four times, and is dead at the fifth, with the reason', async () => {
    const reason = 'given up: its handler failed 5 times, at last: Maximum call stack size exceeded';
    expect(await deliver('m', fails, { failures: new HandlerFailures(), times: 5 })).toEqual([
      ...Array<Settlement>(4).fill('requeue'),
      { dead: reason },
    ]);
  });

  it('goes back as often as something is away', async () => {
    const settlements = await deliver('m', isAway, { failures: new HandlerFailures(), times: 9 });
    expect(settlements).toEqual(Array(9).fill('requeue'));
  });

  it('is counted by itself, and from the beginning once it was handled', async () => {
    const failures = new HandlerFailures();
    await deliver('a', fails, { failures, times: 4 });
    expect(await deliver('b', fails, { failures, times: 1 })).toEqual(['requeue']);
    await deliver('a', () => Promise.resolve('ack'), { failures, times: 1 });
    expect(await deliver('a', fails, { failures, times: 4 })).toEqual(Array(4).fill('requeue'));
  });

  it('goes back for ever to the dead queue, behind which there is none', async () => {
    expect(await deliver('m', fails, { failures: null, times: 9 })).toEqual(Array(9).fill('requeue'));
  });
});
