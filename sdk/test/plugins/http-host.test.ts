import { until } from '../../../test/support/until.js';
import type { BusinessEvent } from '../../src/business-event.js';
import { RefusedError, UnavailableError } from '../../src/errors.js';
import type { EventListenerHost, EventListenerHostOptions } from '../../src/plugins/host.js';
import { httpTransport } from '../../src/plugins/http-transport.js';
import type { IBusinessEventListener, Plugins } from '../../src/plugins/plugin.js';
import { FakeCentre, type Treatment } from './fake-centre.js';
import { LogRecord } from '../log-record.js';
import { hostOf } from './hosts.js';

/** A gate that plugins wait at. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

describe('EventListenerHost over HTTP', () => {
  let centre: FakeCentre;
  let calls: string[];
  const hosts: EventListenerHost[] = [];

  beforeEach(async () => {
    centre = await FakeCentre.start();
    calls = [];
  });

  afterEach(async () => {
    await Promise.all(hosts.splice(0).map((host) => host.stop(0)));
    await centre.close();
  });

  async function started(options: Partial<EventListenerHostOptions>): Promise<EventListenerHost> {
    const host = hostOf(centre, options);
    hosts.push(host);
    await host.start();
    return host;
  }

  /** A plugin that notes its calls as `name number`. */
  function noting(name: string, act: (event: BusinessEvent<any>) => unknown = () => undefined): IBusinessEventListener {
    return {
      doAction: async (event: BusinessEvent<any>) => {
        calls.push(`${name} ${event.payload.number}`);
        await act(event);
      },
      doBackAction: (event: BusinessEvent<any>) => void calls.push(`${name} back ${event.payload.number}`),
    };
  }

  const failing = (): never => {
    throw new Error('no paper');
  };

  it('runs the plugins of each event in order, reports them, and holds nothing afterwards', async () => {
    centre.register({ implClassName: 'Audit' }, { implClassName: 'Billing' });
    const host = await started({ plugins: { Audit: noting('audit'), Billing: noting('billing') } });
    const ids = centre.accept(...Array.from({ length: 50 }, (_, number) => ({ number })));
    await until('all are settled', () => centre.unsettled === 0);
    for (let number = 0; number < 50; number += 1) {
      expect(calls.filter((call) => call.endsWith(` ${number}`))).toEqual([`audit ${number}`, `billing ${number}`]);
    }
    expect(centre.results.map(({ success }) => success)).toEqual(Array.from({ length: 100 }, () => true));
    expect(new Set(centre.results.map(({ eventId }) => eventId))).toEqual(new Set(ids));
    await until('it holds nothing', () => host.status().inHand === 0);
    expect(host.status()).toMatchObject({ state: 'running', connected: true, problem: null, lostLeases: 0 });
  });

  it('stops at a failure and is given the rest with the next attempt', async () => {
    centre.register({ implClassName: 'Audit' }, { implClassName: 'Billing' });
    const Audit = noting('audit', ({ attempt }) => attempt === 1 && failing());
    await started({ plugins: { Audit, Billing: noting('billing') } });
    centre.accept({ number: 1 });
    await until('it is settled', () => centre.unsettled === 0);
    expect(calls).toEqual(['audit 1', 'audit 1', 'billing 1']);
    expect(centre.results.map(({ success, error }) => error ?? success)).toEqual(['no paper', true, true]);
  });

  it.each([
    ['continue', ['audit 1', 'audit 1', 'audit back 1', 'billing 1']],
    ['stop', ['audit 1', 'audit 1', 'audit back 1']],
  ] as const)('calls doBackAction once after the last attempt; onExhausted %s', async (onExhausted, expected) => {
    centre.onExhausted = onExhausted;
    centre.register({ implClassName: 'Audit' }, { implClassName: 'Billing' });
    await started({ plugins: { Audit: noting('audit', failing), Billing: noting('billing') } });
    centre.accept({ number: 1 });
    await until('it is settled', () => centre.unsettled === 0);
    expect(calls).toEqual(expected);
  });

  it('reports a missing class and a hanging plugin as failures, and warns of both kinds of mismatch', async () => {
    centre.register(
      { implClassName: 'Gone', maxAttempts: 1 },
      { implClassName: 'Slow', timeoutMs: 50, maxAttempts: 1 },
    );
    const log = new LogRecord();
    const Slow = { doAction: () => new Promise<void>(() => undefined) };
    const host = await started({ log, plugins: { Slow, Spare: noting('spare') } });
    expect(host.status()).toMatchObject({ missingPlugins: ['Gone'], unregisteredPlugins: ['Spare'] });
    expect(log.named('plugin.missing')).toEqual([{ nodeCode: 'SHOP', implClassName: 'Gone' }]);
    expect(log.named('plugin.unregistered')).toEqual([{ nodeCode: 'SHOP', implClassName: 'Spare' }]);
    centre.accept({ number: 1 });
    await until('it is settled', () => centre.unsettled === 0);
    const errors = centre.results.map(({ error }) => error);
    expect(errors).toEqual(['this host has no plugin for the class Gone', 'not done within its time-out of 50 ms']);
  });

  it('sees what is registered while it runs, and asks for nothing that has not changed', async () => {
    centre.register({ implClassName: 'Audit' });
    const host = await started({ plugins: { Audit: noting('audit') } });
    await until('it was told that nothing changed', () => centre.notModified >= 2);
    centre.register({ implClassName: 'Audit' }, { implClassName: 'New' });
    await until('it misses the new class', () => host.status().missingPlugins.join() === 'New');
    expect(host.status()).toMatchObject({ registryVersion: 3, problem: null });
  });

  it('is refused at its start with a wrong key', async () => {
    const host = hostOf(centre, { appKey: 'd3Jvbmc=' });
    const refused = await host.start().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RefusedError);
    expect(refused).toMatchObject({ code: 'BAD_SIGNATURE' });
    expect(host.status().state).toBe('stopped');
  });

  it('works with a clock that is an hour off, and believes in no lease longer than it is', async () => {
    for (const offsetMs of [3_600_000, -3_600_000]) {
      centre.clockOffsetMs = offsetMs;
      centre.register({ implClassName: 'Audit' });
      const host = await started({ plugins: { Audit: noting('audit') } });
      centre.accept({ number: 1 });
      await until('it is settled', () => centre.unsettled === 0);
      await host.stop();
      expect(host.status().lostLeases).toBe(0);
    }
    expect(calls).toEqual(['audit 1', 'audit 1']);
  });

  it('waits at its start for a centre that is away', async () => {
    centre.register({ implClassName: 'Audit' });
    centre.treatment = () => 'cut';
    const host = hostOf(centre, { plugins: { Audit: noting('audit') } });
    hosts.push(host);
    const starting = host.start();
    await until('it says so', () => host.status().problem !== null);
    expect(host.status()).toMatchObject({ state: 'starting', connected: false });
    centre.treatment = () => 'normal';
    await starting;
    expect(host.status()).toMatchObject({ state: 'running', connected: true, problem: null });
  });

  it('can be stopped while it waits at its start', async () => {
    centre.treatment = () => 'unavailable';
    const host = hostOf(centre, {});
    const starting = host.start().catch((error: unknown) => error);
    await until('it says so', () => host.status().problem !== null);
    await host.stop();
    expect(await starting).toBeInstanceOf(UnavailableError);
  });

  it.each<[string, Treatment]>([
    ['is unavailable', 'unavailable'],
    ['is cut off', 'cut'],
    ['does its work but its answers are lost', 'cut-after'],
  ])('settles again after a centre that %s in the middle of a plugin', async (_how, treatment) => {
    centre.register({ implClassName: 'Audit' });
    const inside = gate();
    const host = await started({ plugins: { Audit: noting('audit', () => inside.opened) } });
    centre.accept(...Array.from({ length: 8 }, (_, number) => ({ number })));
    await until('all plugins run', () => calls.length === 8);
    centre.treatment = (path) => (path === 'lease.do' && treatment === 'cut-after' ? 'cut' : treatment);
    inside.open();
    await until('a report failed', () => host.status().problem !== null);
    expect(host.status().inHand).toBe(8);
    centre.treatment = () => 'normal';
    await until('all are settled and nothing is held', () => centre.unsettled === 0 && host.status().inHand === 0);
    expect(calls).toHaveLength(8);
    expect(centre.results).toHaveLength(8);
    expect(host.status().lostLeases).toBe(0);
    await until('it takes events again', () => host.status().connected);
  });

  it('gives up reporting when the lease is over, counts it, and the event comes again', async () => {
    centre.register({ implClassName: 'Audit', timeoutMs: 1_000 });
    const log = new LogRecord();
    const transport = httpTransport({ waitMs: 200, leaseMs: 3_300 });
    const host = await started({ log, transport, plugins: { Audit: noting('audit') } });
    centre.treatment = (path) => (path === 'settle.do' && host.status().lostLeases === 0 ? 'unavailable' : 'normal');
    const [eventId] = centre.accept({ number: 1 });
    await until('it is settled', () => centre.unsettled === 0);
    expect(host.status().lostLeases).toBe(1);
    expect(calls).toEqual(['audit 1', 'audit 1']);
    expect(log.named('lease.lost')).toMatchObject([{ eventId, code: 'EXPIRED', results: 1 }]);
  });

  it('counts a report that comes too late', async () => {
    centre.register({ implClassName: 'Audit' });
    const inside = gate();
    const log = new LogRecord();
    const host = await started({ log, plugins: { Audit: noting('audit', () => inside.opened) } });
    centre.accept({ number: 1 });
    await until('the plugin runs', () => calls.length === 1);
    // The centre's clock is set forward, so that the lease ends early.
    centre.clockOffsetMs = 60_000;
    inside.open();
    await until('it is settled the second time', () => centre.unsettled === 0);
    expect(centre.answers.map(({ code }) => code)).toEqual(['UNKNOWN', 'OK']);
    // The host may still be reading the first answer when the centre has given the second.
    await until('the lost lease is counted', () => (host.status().lostLeases ?? 0) > 0);
    expect(host.status().lostLeases).toBe(1);
    expect(log.named('lease.lost')).toHaveLength(1);
  });

  it('reports the others when the centre finds fault with one report', async () => {
    centre.register({ implClassName: 'Audit' });
    const inside = gate();
    const host = await started({ plugins: { Audit: noting('audit', () => inside.opened) } });
    const ids = centre.accept(...Array.from({ length: 6 }, (_, number) => ({ number })));
    await until('all plugins run', () => calls.length === 6);
    centre.misfits = ids.slice(2, 3);
    inside.open();
    await until(
      'the others are settled and nothing is held',
      () => centre.unsettled === 1 && host.status().inHand === 0,
    );
    expect(calls).toHaveLength(6);
    expect(host.status().lostLeases).toBe(1);
  });

  it('does not begin a plugin whose time-out could outlast the lease', async () => {
    centre.register({ implClassName: 'Audit', timeoutMs: 500 }, { implClassName: 'Billing', timeoutMs: 3_000 });
    centre.leaseMs = 4_000;
    await started({ plugins: { Audit: noting('audit'), Billing: noting('billing') } });
    centre.accept({ number: 1 });
    await until('the first is reported without the second', () => centre.results.length === 1);
    expect(calls).toEqual(['audit 1']);
    centre.leaseMs = null;
    await until('the second is done', () => centre.unsettled === 0);
    expect(calls).toEqual(['audit 1', 'billing 1']);
  });

  it('never takes more events than it has places', async () => {
    centre.register({ implClassName: 'Audit' });
    let running = 0;
    let most = 0;
    const Audit = noting('audit', async () => {
      running += 1;
      most = Math.max(most, running, centre.leased);
      await new Promise(setImmediate);
      running -= 1;
    });
    await started({ plugins: { Audit }, concurrency: 3 });
    centre.accept(...Array.from({ length: 30 }, (_, number) => ({ number })));
    await until('all are settled', () => centre.unsettled === 0);
    expect(most).toBe(3);
    expect(Math.max(...centre.leaseRequests.map(({ max }) => max))).toBe(3);
  });

  it('stops after letting running plugins end, and takes nothing more', async () => {
    centre.register({ implClassName: 'Audit' });
    const inside = gate();
    const host = await started({ plugins: { Audit: noting('audit', () => inside.opened) }, concurrency: 2 });
    centre.accept({ number: 1 }, { number: 2 }, { number: 3 });
    await until('two plugins run', () => calls.length === 2);
    const stopped = host.stop();
    expect(host.status().state).toBe('stopping');
    inside.open();
    await stopped;
    expect(host.status()).toMatchObject({ state: 'stopped', inHand: 0, connected: false });
    expect(centre.results).toHaveLength(2);
    expect({ unsettled: centre.unsettled, leased: centre.leased }).toEqual({ unsettled: 1, leased: 0 });
  });

  it('aborts and gives back without an attempt what is not done after its grace', async () => {
    centre.register({ implClassName: 'Audit' }, { implClassName: 'Slow', timeoutMs: 60_000 });
    const signals: AbortSignal[] = [];
    const Slow: IBusinessEventListener = {
      doAction: (_event, { signal }) => (signals.push(signal), new Promise<void>(() => undefined)),
    };
    const plugins: Plugins = { Audit: noting('audit'), Slow };
    const host = await started({ plugins });
    const [first] = centre.accept({ number: 1 });
    await until('the slow one runs', () => signals.length === 1);
    await host.stop(20);
    expect(signals[0]?.aborted).toBe(true);
    // The first plugin is reported, the second has no result.
    expect(centre.results).toMatchObject([{ eventId: first, listenerId: 'L1', success: true }]);
    expect(centre.leased).toBe(0);

    centre.register({ implClassName: 'Slow', timeoutMs: 60_000 });
    const other = await started({ plugins: { Slow } });
    const [second] = centre.accept({ number: 2 });
    await until('the slow one runs again', () => signals.length >= 2);
    await other.stop(20);
    expect(centre.released).toContain(second);
    expect(centre.results).toHaveLength(1);
  });

  it('shares the work between two hosts without running anything twice', async () => {
    centre.register({ implClassName: 'Audit' }, { implClassName: 'Billing' });
    const handledBy: string[] = [];
    const slowly = (name: string) => async (): Promise<void> => {
      handledBy.push(name);
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const pluginsOf = (name: string): Plugins => ({
      Audit: noting('audit', slowly(name)),
      Billing: noting('billing'),
    });
    await started({ plugins: pluginsOf('one'), concurrency: 2 });
    await started({ plugins: pluginsOf('two'), concurrency: 2 });
    centre.accept(...Array.from({ length: 60 }, (_, number) => ({ number })));
    await until('all are settled', () => centre.unsettled === 0);
    expect(calls).toHaveLength(120);
    expect(new Set(calls).size).toBe(120);
    expect(handledBy.filter((name) => name === 'one').length).toBeGreaterThan(10);
    expect(handledBy.filter((name) => name === 'two').length).toBeGreaterThan(10);
  });

  it('refuses options by name, plugins after the start, and a second start', async () => {
    expect(() => httpTransport({ batchSize: 0 })).toThrow('batchSize: expected a whole number, 1 to 100');
    expect(() => httpTransport({ waitMs: 60_000 })).toThrow('waitMs');
    expect(() => hostOf(centre, { graceMs: -1 })).toThrow('graceMs');
    const transport = httpTransport();
    const host = await started({ transport });
    expect(() => host.register('Audit', noting('audit'))).toThrow('before the start');
    await expect(host.start()).rejects.toThrow('can be started once');
    await expect(hostOf(centre, { transport }).start()).rejects.toThrow('belongs to a host already');
  });
});
