import type { BusinessEvent } from '../../src/business-event.js';
import { InvalidOptionError } from '../../src/errors.js';
import type { IBusinessEventListener, PluginContext, Plugins } from '../../src/plugins/plugin.js';
import { PluginRegistry } from '../../src/plugins/plugin-registry.js';
import { PluginRunner, type PluginCall } from '../../src/plugins/run-plugin.js';
import { LogRecord } from '../log-record.js';

const NAME = 'com.acme.Audit';
const CALL: PluginCall = {
  event: {
    eventId: 'e-1',
    sourceId: 'ORDER',
    eventType: 'PLACED',
    tenantCode: null,
    userObject: '{"order":7}',
    senderUuid: null,
    traceparent: null,
    acceptedAt: 5,
  },
  listenerId: 'L1',
  listenerName: 'audit',
  implClassName: NAME,
  attempt: 3,
  timeoutMs: 60,
};
const SUCCESS = { success: true, error: null, interrupted: false };

describe('PluginRunner', () => {
  const log = new LogRecord();

  function runnerOf(plugins: Plugins): PluginRunner {
    const registry = new PluginRegistry();
    for (const [name, source] of Object.entries(plugins)) registry.register(name, source);
    return new PluginRunner(registry, log);
  }

  it('hands the event, its parsed payload and the attempt to the plugin', async () => {
    const seen: [BusinessEvent, PluginContext][] = [];
    const runner = runnerOf({ [NAME]: { doAction: (event, context) => void seen.push([event, context]) } });
    expect(await runner.run(CALL)).toMatchObject(SUCCESS);
    const [event, context] = seen[0]!;
    expect(event).toEqual({ ...CALL.event, payload: { order: 7 }, listenerId: 'L1', attempt: 3 });
    expect(context).toMatchObject({ attempt: 3, listenerId: 'L1', listenerName: 'audit' });
    expect(context.signal.aborted).toBe(false);
  });

  it('hands a payload that is no JSON as its text', async () => {
    const payloads: unknown[] = [];
    const runner = runnerOf({ [NAME]: { doAction: ({ payload }) => void payloads.push(payload) } });
    await runner.run({ ...CALL, event: { ...CALL.event, userObject: '{"order":' } });
    await runner.run({ ...CALL, event: { ...CALL.event, userObject: null } });
    expect(payloads).toEqual(['{"order":', null]);
  });

  it('takes plugins that say what their payload is', async () => {
    class Typed implements IBusinessEventListener<{ order: number }> {
      static seen = 0;
      doAction({ payload }: BusinessEvent<{ order: number }>): void {
        Typed.seen += payload.order;
      }
    }
    const plugins: Plugins = { [NAME]: Typed, made: () => new Typed(), ready: new Typed() };
    const runner = runnerOf(plugins);
    for (const implClassName of Object.keys(plugins)) await runner.run({ ...CALL, implClassName });
    expect(Typed.seen).toBe(21);
  });

  it('makes one instance of a class or of a factory, also when two events come first', async () => {
    let made = 0;
    class Counted {
      constructor() {
        made += 1;
      }
      doAction = (): void => undefined;
    }
    const factory = async (): Promise<Counted> => new Counted();
    const runner = runnerOf({ [NAME]: Counted, 'com.acme.Made': factory });
    const calls = [
      CALL,
      CALL,
      { ...CALL, implClassName: 'com.acme.Made' },
      { ...CALL, implClassName: 'com.acme.Made' },
    ];
    const results = await Promise.all(calls.map((call) => runner.run(call)));
    expect(results.map(({ success }) => success)).toEqual([true, true, true, true]);
    expect(made).toBe(2);
  });

  it('takes a class that a compiler made a function of', async () => {
    function Old(this: { done: boolean }): void {
      this.done = true;
    }
    Old.prototype.doAction = function doAction(this: { done?: boolean }): void {
      if (this.done !== true) throw new Error('called without its instance');
    };
    expect(await runnerOf({ [NAME]: Old as any }).run(CALL)).toMatchObject(SUCCESS);
  });

  it('fails an attempt at a class that the host does not have, by its full name only', async () => {
    const runner = runnerOf({ Audit: { doAction: () => undefined } });
    const error = `this host has no plugin for the class ${NAME}`;
    expect(await runner.run(CALL)).toMatchObject({ success: false, error });
  });

  it('fails an attempt whose constructor throws, and makes the plugin again for the next', async () => {
    let times = 0;
    class Late {
      constructor() {
        times += 1;
        if (times === 1) throw new Error('no database yet');
      }
      doAction(): void {
        times += 10;
      }
    }
    const runner = runnerOf({ [NAME]: Late });
    const error = `the plugin of the class ${NAME} could not be made: no database yet`;
    expect(await runner.run(CALL)).toMatchObject({ success: false, error });
    expect(await runner.run(CALL)).toMatchObject(SUCCESS);
    expect(times).toBe(12);
  });

  it.each<[string, () => Promise<void> | void, string]>([
    ['throws', () => { throw new Error('no such\n  customer'); }, 'no such customer'], // prettier-ignore
    ['rejects', () => Promise.reject(new TypeError('x is undefined')), 'x is undefined'],
    ['throws an error without words', () => { throw new RangeError(); }, 'RangeError'], // prettier-ignore
    ['throws a text', () => Promise.reject('out of paper'), 'out of paper'], // eslint-disable-line @typescript-eslint/prefer-promise-reject-errors
    ['throws an object', () => Promise.reject({ code: 7 }), '{"code":7} was thrown'], // eslint-disable-line @typescript-eslint/prefer-promise-reject-errors
    ['throws nothing', () => Promise.reject(undefined), 'undefined was thrown'], // eslint-disable-line @typescript-eslint/prefer-promise-reject-errors
  ])('fails an attempt that %s, in one sentence', async (_how, doAction, error) => {
    const runner = runnerOf({ [NAME]: { doAction } });
    expect(await runner.run(CALL)).toMatchObject({ success: false, error, interrupted: false });
  });

  it('fails a plugin that hangs at its time-out, with its signal aborted, and logs how it ended', async () => {
    let end = (): void => undefined;
    let aborted = 0;
    const runner = runnerOf({
      [NAME]: {
        doAction: (_event, { signal }) =>
          new Promise<void>((resolve) => {
            end = resolve;
            signal.addEventListener('abort', () => (aborted += 1));
          }),
      },
    });
    const result = await runner.run(CALL);
    expect(result).toMatchObject({
      success: false,
      error: 'not done within its time-out of 60 ms',
      interrupted: false,
    });
    expect(result.durationMs).toBeGreaterThanOrEqual(59);
    expect(aborted).toBe(1);
    expect(runner.running).toBe(0);
    end();
    await new Promise(setImmediate);
    expect(log.named('plugin.ended_late')).toHaveLength(1);
  });

  it('adds what doBackAction throws to the error, and never rejects', async () => {
    const plugin = {
      doAction: () => { throw new Error('no funds'); }, // prettier-ignore
      doBackAction: () => Promise.reject(new Error('no ledger')),
    };
    const runner = runnerOf({ [NAME]: plugin });
    const failed = await runner.run(CALL);
    expect(await runner.compensate(CALL, failed)).toEqual({ ...failed, error: 'no funds; doBackAction: no ledger' });
    expect(log.named('plugin.compensation_failed')).toMatchObject([{ eventId: 'e-1', error: 'no ledger' }]);
  });

  it('bounds doBackAction by the time-out', async () => {
    const hanging = { doAction: () => { throw new Error('no') ; }, doBackAction: () => new Promise<void>(() => undefined) }; // prettier-ignore
    const runner = runnerOf({ [NAME]: hanging });
    const { error } = await runner.compensate(CALL, await runner.run(CALL));
    expect(error).toBe('no; doBackAction: not done within its time-out of 60 ms');
  });

  it('reports the failure as it is when there is nothing to call back', async () => {
    const runner = runnerOf({ [NAME]: { doAction: () => Promise.reject(new Error('no')) } });
    const failed = await runner.run(CALL);
    expect(await runner.compensate(CALL, failed)).toBe(failed);
    const missing = { ...CALL, implClassName: 'com.acme.None' };
    const unknown = await runner.run(missing);
    expect(await runner.compensate(missing, unknown)).toBe(unknown);
  });

  it('ends what runs, and all that comes later, as interrupted', async () => {
    const signals: AbortSignal[] = [];
    const runner = runnerOf({
      [NAME]: { doAction: (_event, { signal }) => (signals.push(signal), new Promise<void>(() => undefined)) },
    });
    const running = runner.run({ ...CALL, timeoutMs: 60_000 });
    await new Promise(setImmediate);
    runner.interrupt();
    expect(await running).toMatchObject({ success: false, interrupted: true });
    expect(signals[0]?.aborted).toBe(true);
    expect(await runner.run(CALL)).toMatchObject({ interrupted: true });
    expect(signals).toHaveLength(1);
  });

  it('refuses what cannot be a plugin, and a second plugin of a class', () => {
    const registry = new PluginRegistry();
    registry.register(NAME, { doAction: () => undefined });
    expect(() => registry.register(NAME, { doAction: () => undefined })).toThrow('has a plugin already');
    expect(() => registry.register('', { doAction: () => undefined })).toThrow(InvalidOptionError);
    expect(() => registry.register('com.acme.Empty', {} as any)).toThrow('expected a class, a factory, or an object');
  });

  it('fails an attempt when a factory makes something else', async () => {
    const runner = runnerOf({ [NAME]: () => ({}) as any });
    const error = `what was made for the class ${NAME} has no method doAction`;
    expect(await runner.run(CALL)).toMatchObject({ success: false, error });
  });
});
