import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { until } from '../../../test/support/until.js';
import { InvalidOptionError } from '../../src/errors.js';
import {
  EventNotifier,
  NotifierStoppedError,
  QueueFullError,
  type EventNotifierOptions,
  type FailedNotification,
  type NotifierEvent,
} from '../../src/notifier/index.js';
import { LogRecord } from '../log-record.js';

const FAST: EventNotifierOptions = { firstDelayMs: 10, maxDelayMs: 40 };

const anEvent = (id: string, type = 'task_created'): NotifierEvent => ({ id, type });

/** A handler whose calls end when the test says so. */
function aGate() {
  const held: { id: string; attempt: number; end: (error?: Error) => void; signal: AbortSignal }[] = [];
  const handler = (event: NotifierEvent, { attempt, signal }: { attempt: number; signal: AbortSignal }) =>
    new Promise<void>((resolve, reject) => {
      held.push({ id: event.id, attempt, signal, end: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  return { held, handler };
}

/** A handler that notes ids and fails as often as it is told. */
function aRecorder(failures: Record<string, number> = {}) {
  const calls: { id: string; attempt: number; at: number }[] = [];
  const handler = (event: NotifierEvent, { attempt }: { attempt: number }): void => {
    calls.push({ id: event.id, attempt, at: performance.now() });
    if (attempt <= (failures[event.id] ?? 0)) throw new Error(`${event.id} failed`);
  };
  return { calls, handler, ids: () => calls.map(({ id }) => id) };
}

describe('notifying', () => {
  it('gives an event to every handler that wants its type', async () => {
    const [all, some] = [aRecorder(), aRecorder()];
    const notifier = new EventNotifier(FAST)
      .register('all', { handle: all.handler })
      .register('approvals', some.handler, { eventTypes: ['task_approved'] });
    expect(await notifier.notify(anEvent('1'))).toBe('queued');
    expect(await notifier.notify(anEvent('2', 'task_approved'))).toBe('queued');
    expect(await notifier.stop()).toEqual({ left: [] });
    expect([all.ids(), some.ids()]).toEqual([['1', '2'], ['2']]);
  });

  it('says that nobody wants an event', async () => {
    const notifier = new EventNotifier().register('approvals', () => {}, { eventTypes: ['task_approved'] });
    expect(await notifier.notify(anEvent('1'))).toBe('unwanted');
  });

  it('goes on before any handler has begun, and does not wait for them', async () => {
    const { held, handler } = aGate();
    const notifier = new EventNotifier().register('slow', handler);
    await notifier.notify(anEvent('1'));
    expect(held).toEqual([]);
    await until('the handler was called', () => held.length === 1);
    held[0]!.end();
    await notifier.stop();
  });

  it('runs so many at a time at each handler, without one handler holding up another', async () => {
    const [slow, quick] = [aGate(), aRecorder()];
    const notifier = new EventNotifier({ concurrency: 2 })
      .register('slow', slow.handler)
      .register('quick', quick.handler);
    for (const id of ['1', '2', '3']) await notifier.notify(anEvent(id));
    await until('the quick one is through', () => quick.calls.length === 3);
    expect(slow.held.map(({ id }) => id)).toEqual(['1', '2']);
    slow.held[0]!.end();
    await until('the third began', () => slow.held.length === 3);
    slow.held.forEach(({ end }) => end());
    await notifier.stop();
  });

  it.each([
    ['event.id', { id: '', type: 't' }],
    ['event.type', { id: '1' }],
    ['event.id', null],
  ])('refuses an event without %s', async (field, event) => {
    const notifier = new EventNotifier().register('all', () => {});
    await expect(notifier.notify(event as never)).rejects.toThrow(InvalidOptionError);
    await expect(notifier.notify(event as never)).rejects.toThrow(`${field}: `);
  });

  it.each([
    ['queueSize', () => new EventNotifier({ queueSize: 0 })],
    ['whenFull', () => new EventNotifier({ whenFull: 'drop' as never })],
    ['concurrency', () => new EventNotifier({ concurrency: 1.5 })],
    ['maxAttempts', () => new EventNotifier({ maxAttempts: 0 })],
    ['maxDelayMs', () => new EventNotifier({ maxDelayMs: 2 ** 31 })],
    ['handler', () => new EventNotifier().register('a', {} as never)],
    ['name', () => new EventNotifier().register('a', () => {}).register('a', () => {})],
    ['timeoutMs', () => new EventNotifier().stop({ timeoutMs: -1 })],
  ])('refuses a wrong %s', (field, act) => {
    expect(act).toThrow(InvalidOptionError);
    expect(act).toThrow(new RegExp(`^${field}: `));
  });
});

describe('a full queue', () => {
  it('lets the caller wait for a place, in turn', async () => {
    const { held, handler } = aGate();
    const notifier = new EventNotifier({ queueSize: 2, concurrency: 1 }).register('gate', handler);
    const queued: string[] = [];
    const notify = (id: string) => notifier.notify(anEvent(id)).then(() => queued.push(id));
    await Promise.all([notify('1'), notify('2')]);
    const [third, fourth] = [notify('3'), notify('4')];
    await until('the first began', () => held.length === 1);
    expect(queued).toEqual(['1', '2']);
    held[0]!.end();
    await third;
    expect(queued).toEqual(['1', '2', '3']);
    await until('the second began', () => held.length === 2);
    held[1]!.end();
    await fourth;
    expect(queued).toEqual(['1', '2', '3', '4']);
    const { left } = await notifier.stop({ timeoutMs: 0 });
    expect(left.map(({ event }) => event.id).sort()).toEqual(['3', '4']);
  });

  it('refuses, and takes the event once there is a place', async () => {
    const { held, handler } = aGate();
    const notifier = new EventNotifier({ queueSize: 1, whenFull: 'refuse' }).register('gate', handler);
    await notifier.notify(anEvent('1'));
    await expect(notifier.notify(anEvent('2'))).rejects.toThrow(QueueFullError);
    await until('it began', () => held.length === 1);
    held[0]!.end();
    await nextTurn();
    expect(await notifier.notify(anEvent('2'))).toBe('queued');
    await until('it began', () => held.length === 2);
    held[1]!.end();
    await notifier.stop();
  });

  it('counts an event until its last handler is done, and while it waits for a retry', async () => {
    const [gate, flaky] = [aGate(), aRecorder({ '1': 1 })];
    const notifier = new EventNotifier({ queueSize: 1, whenFull: 'refuse', firstDelayMs: 100_000, maxDelayMs: 100_000 })
      .register('gate', gate.handler)
      .register('flaky', flaky.handler);
    await notifier.notify(anEvent('1'));
    await until('both were called', () => gate.held.length === 1 && flaky.calls.length === 1);
    gate.held[0]!.end();
    await nextTurn();
    await expect(notifier.notify(anEvent('2'))).rejects.toThrow(QueueFullError);
    expect(await notifier.stop()).toEqual({ left: [] });
    expect(flaky.calls.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });
});

describe('retrying', () => {
  it('tries the handler that failed again, with growing delays, and not the others', async () => {
    const [good, flaky] = [aRecorder(), aRecorder({ '1': 2 })];
    const log = new LogRecord();
    const notifier = new EventNotifier({ firstDelayMs: 40, maxDelayMs: 1000, log })
      .register('good', good.handler)
      .register('flaky', flaky.handler);
    await notifier.notify(anEvent('1'));
    await until('it succeeded', () => flaky.calls.length === 3);
    const [first, second, third] = flaky.calls.map(({ at }) => at) as [number, number, number];
    expect(second - first).toBeGreaterThanOrEqual(19);
    expect(third - second).toBeGreaterThanOrEqual(39);
    expect(good.calls).toHaveLength(1);
    await notifier.stop();
    expect(log.entries.slice(0, 2)).toEqual(
      [1, 2].map((attempt) => ({
        level: 'warn',
        name: 'attempt.failed',
        fields: { handler: 'flaky', eventId: '1', attempt, error: '1 failed', retryInMs: expect.any(Number) },
      })),
    );
  });

  it('hands over what failed for the last time, keeps it, and tries it again when told', async () => {
    const told: FailedNotification<NotifierEvent>[] = [];
    let failing = true;
    let calls = 0;
    const notifier = new EventNotifier({ ...FAST, maxAttempts: 2, onFailed: (failed) => void told.push(failed) })
      .register('good', () => {})
      .register('bad', () => {
        calls += 1;
        if (failing) throw new Error('away');
      });
    await notifier.notify(anEvent('1'));
    await until('it failed', () => notifier.failed().length === 1);
    const expected = { event: anEvent('1'), handler: 'bad', attempts: 2, lastError: new Error('away') };
    expect(notifier.failed()).toEqual([{ ...expected, failedAt: expect.any(Number) }]);
    expect(told).toEqual(notifier.failed());
    expect(await notifier.notify(anEvent('1'))).toBe('duplicate');
    failing = false;
    expect(await notifier.retryFailed('1')).toBe(1);
    expect(await notifier.retryFailed('1')).toBe(0);
    await notifier.stop();
    expect([calls, notifier.failed()]).toEqual([3, []]);
  });

  it('keeps so many failed ones, and logs which it forgets and what onFailed throws', async () => {
    const log = new LogRecord();
    const options = { maxAttempts: 1, maxFailed: 1, log };
    const fail = () => Promise.reject(new Error('no'));
    const notifier = new EventNotifier({ ...options, onFailed: fail }).register('bad', fail);
    for (const id of ['1', '2']) {
      await notifier.notify(anEvent(id));
      await until(`${id} failed`, () => notifier.failed().at(-1)?.event.id === id);
    }
    await notifier.stop();
    expect(notifier.failed().map(({ event }) => event.id)).toEqual(['2']);
    expect(log.named('failed.forgotten')).toEqual([{ handler: 'bad', eventId: '1' }]);
    expect(log.named('on-failed.threw')).toContainEqual({ handler: 'bad', eventId: '1', error: 'Error: no' });
    expect(log.entries.filter(({ level }) => level === 'error').map(({ fields }) => fields['eventId'])).toContain('2');
  });

  it('counts an attempt that hangs as failed, and aborts it', async () => {
    const { held, handler } = aGate();
    const notifier = new EventNotifier({ ...FAST, attemptTimeoutMs: 30, maxAttempts: 2 }).register('hangs', handler);
    await notifier.notify(anEvent('1'));
    await until('it failed', () => notifier.failed().length === 1);
    expect(held.map(({ attempt, signal }) => [attempt, signal.aborted])).toEqual([
      [1, true],
      [2, true],
    ]);
    expect(notifier.failed()[0]!.lastError).toEqual(new Error('the handler was not done within 30 ms'));
    await notifier.stop();
  });
});

describe('an event id that comes again', () => {
  it('is answered without acting, while it is queued and after it was handled', async () => {
    const { calls, handler } = aRecorder();
    const notifier = new EventNotifier().register('all', handler);
    expect(await notifier.notify(anEvent('1'))).toBe('queued');
    expect(await notifier.notify(anEvent('1'))).toBe('duplicate');
    await until('it was handled', () => calls.length === 1);
    expect(await notifier.notify(anEvent('1'))).toBe('duplicate');
    await notifier.stop();
    expect(calls).toHaveLength(1);
  });

  it('waits with the first one for a place, and shares its refusal', async () => {
    const { handler } = aGate();
    const notifier = new EventNotifier({ queueSize: 1 }).register('gate', handler);
    await notifier.notify(anEvent('1'));
    const both = Promise.allSettled([notifier.notify(anEvent('2')), notifier.notify(anEvent('2'))]);
    await notifier.stop({ timeoutMs: 0 });
    for (const result of await both) {
      expect(result).toMatchObject({ status: 'rejected', reason: expect.any(NotifierStoppedError) });
    }
  });

  it('acts again once its time is over', async () => {
    const { calls, handler } = aRecorder();
    const notifier = new EventNotifier({ idempotencyTtlMs: 20 }).register('all', handler);
    await notifier.notify(anEvent('1'));
    await until('it was handled', () => calls.length === 1);
    await pause(25);
    expect(await notifier.notify(anEvent('1'))).toBe('queued');
    await notifier.stop();
    expect(calls).toHaveLength(2);
  });
});

describe('stopping', () => {
  it('finishes what is queued, takes nothing more, and answers the same when asked again', async () => {
    const { handler, ids } = aRecorder();
    const notifier = new EventNotifier({ concurrency: 1 }).register('all', handler);
    for (const id of ['1', '2', '3']) await notifier.notify(anEvent(id));
    const stopping = notifier.stop();
    await expect(notifier.notify(anEvent('4'))).rejects.toThrow(NotifierStoppedError);
    expect(await stopping).toEqual({ left: [] });
    expect(await notifier.stop()).toEqual({ left: [] });
    expect(ids()).toEqual(['1', '2', '3']);
  });

  it('tries a waiting retry at once, once, and hands back what fails again', async () => {
    const recorder = aRecorder({ good: 1, bad: 9 });
    const slow = { firstDelayMs: 1_000_000, maxDelayMs: 1_000_000 };
    const notifier = new EventNotifier(slow).register('all', recorder.handler);
    for (const id of ['good', 'bad']) await notifier.notify(anEvent(id));
    await until('both failed once', () => recorder.calls.length === 2);
    const lastError = new Error('bad failed');
    expect(await notifier.stop()).toEqual({
      left: [{ event: anEvent('bad'), handler: 'all', attempts: 2, lastError, interrupted: false }],
    });
    expect(recorder.calls).toHaveLength(4);
    expect(notifier.failed()).toEqual([]);
  });

  it('hands back what is not done in time, and aborts it', async () => {
    const { held, handler } = aGate();
    const notifier = new EventNotifier({ concurrency: 1 }).register('gate', handler);
    for (const id of ['1', '2']) await notifier.notify(anEvent(id));
    await until('the first began', () => held.length === 1);
    const left = { handler: 'gate', lastError: null };
    expect((await notifier.stop({ timeoutMs: 20 })).left).toEqual([
      { ...left, event: anEvent('2'), attempts: 0, interrupted: false },
      { ...left, event: anEvent('1'), attempts: 1, interrupted: true },
    ]);
    expect(held[0]!.signal.aborted).toBe(true);
    held[0]!.end();
    await nextTurn();
    expect(held).toHaveLength(1);
  });

  it('waits until the last failure was told', async () => {
    const told: string[] = [];
    const onFailed = async ({ event }: FailedNotification<NotifierEvent>) => {
      await pause(20);
      told.push(event.id);
    };
    const notifier = new EventNotifier({ maxAttempts: 1, onFailed }).register('bad', () => {
      throw new Error('no');
    });
    await notifier.notify(anEvent('1'));
    expect(await notifier.stop()).toEqual({ left: [] });
    expect(told).toEqual(['1']);
  });

  it('lets another notifier go on with what was handed back, at that handler alone', async () => {
    const stopped = new EventNotifier().register('a', () => {}).register('b', () => {});
    await stopped.notify(anEvent('1'));
    const { left } = await stopped.stop({ timeoutMs: 0 });
    expect(left.map(({ handler }) => handler)).toEqual(['a', 'b']);
    const [a, b] = [aRecorder(), aRecorder()];
    const next = new EventNotifier().register('a', a.handler).register('b', b.handler);
    await next.notify(left[1]!.event, { handlers: [left[1]!.handler] });
    await until('b has it', () => b.calls.length === 1);
    expect(a.calls).toEqual([]);
    await next.notify(left[0]!.event, { handlers: [left[0]!.handler] });
    await next.stop();
    expect([a.ids(), b.ids()]).toEqual([['1'], ['1']]);
    await expect(next.notify(anEvent('2'), { handlers: ['c'] })).rejects.toThrow('handlers: no handler c');
  });
});
