import { randomBytes } from 'node:crypto';
import { tcpProxy, type TcpProxy } from '../../../test/support/tcp-proxy.js';
import { until } from '../../../test/support/until.js';
import type { BusinessEvent } from '../../src/business-event.js';
import type { IBusinessEventListener } from '../../src/plugins/index.js';
import { canMakeBrokerUsers, makeNodeUser } from './broker-user.js';
import { brokerTarget, CentreFake, throughPort } from './centre-fake.js';

const NODE = `ECT${randomBytes(4).toString('hex').toUpperCase()}`;
const describeHere = canMakeBrokerUsers() ? describe : describe.skip;

describeHere('a plugin host over AMQP, as a user with the rights of a node', () => {
  let user: Awaited<ReturnType<typeof makeNodeUser>>;
  let centre: CentreFake;
  let calls: string[];

  beforeAll(async () => {
    user = await makeNodeUser(NODE);
  });

  afterAll(async () => {
    await user.remove();
  });

  beforeEach(async () => {
    calls = [];
    centre = new CentreFake(NODE, user.url);
    await centre.start();
  });

  afterEach(async () => {
    await centre.stop();
  });

  /** A plugin that notes its calls as `name attempt` and then does `act`. */
  function plugin(
    name: string,
    act: (event: BusinessEvent, signal: AbortSignal) => Promise<void> | void = () => undefined,
  ): IBusinessEventListener {
    return {
      doAction: async (event, { attempt, signal }) => {
        calls.push(`${name} ${attempt}`);
        await act(event, signal);
      },
    };
  }

  const fails = (): never => {
    throw new Error('out of stock');
  };

  function gate(): { opened: Promise<void>; open: () => void } {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    return { opened, open };
  }

  it('runs the plugins of an event in their order with what the sender gave, and reports each', async () => {
    await centre.plugin('two', { operIndex: 2 }).plugin('one', { operIndex: 1 }).declare();
    const seen: BusinessEvent[] = [];
    await centre.host({ 'app.one': plugin('one', (event) => void seen.push(event)), 'app.two': plugin('two') });
    const [eventId] = await centre.publish(1, { userObject: Buffer.from('{"n":7}'), tenantCode: 'T1' });
    expect(await centre.ends(eventId!, 2)).toEqual(['one succeeded 1', 'two succeeded 1']);
    expect(calls).toEqual(['one 1', 'two 1']);
    expect(seen[0]).toMatchObject({
      ...{ eventId, sourceId: 'ORDER', eventType: 'CREATED', tenantCode: 'T1', listenerId: 'one', attempt: 1 },
      ...{ userObject: '{"n":7}', payload: { n: 7 } },
    });
    await centre.emptied();
    expect(centre.dead).toEqual([]);
  });

  it('retries a failed plugin through the delay queue, never early, and only then goes on to the next', async () => {
    const retry = { strategy: 'default', maxAttempts: null, delaysMs: [300] } as const;
    await centre
      .plugin('one', { retry: { ...retry, delaysMs: [300] } })
      .plugin('two')
      .declare();
    const at: number[] = [];
    let failing = true;
    await centre.host({
      'app.one': plugin('one', () => {
        at.push(Date.now());
        if (failing) fails();
      }),
      'app.two': plugin('two'),
    });
    const [eventId] = await centre.publish();
    await until('it failed once', () => at.length === 1);
    failing = false;
    expect(await centre.ends(eventId!, 3)).toEqual(['one retrying 1', 'one succeeded 2', 'two succeeded 1']);
    expect(calls).toEqual(['one 1', 'one 2', 'two 1']);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(300);
    expect(centre.outcomes[0]).toMatchObject({ nodeCode: NODE, error: 'out of stock', status: null });
    expect(centre.claims.requests).toMatchObject([
      { eventId, sequence: 1 },
      { eventId, sequence: 1 },
    ]);
  });

  it('calls doBackAction once when a plugin is exhausted, before it reports, and runs the rest', async () => {
    const retry = { strategy: 'default', maxAttempts: 2, delaysMs: [100] } as const;
    await centre
      .plugin('one', { retry: { ...retry, delaysMs: [100] } })
      .plugin('two')
      .declare();
    await centre.host({
      'app.one': {
        doAction: fails,
        doBackAction: (_event, { attempt }) =>
          void calls.push(`undo one ${attempt}, ${centre.outcomes.length} reported`),
      },
      'app.two': plugin('two'),
    });
    const [eventId] = await centre.publish();
    expect(await centre.ends(eventId!, 3)).toEqual(['one retrying 1', 'one failed 2', 'two succeeded 1']);
    expect(calls).toEqual(['undo one 2, 1 reported', 'two 1']);
  });

  it('leaves the rest alone after an exhausted plugin when the node wants it, and reports a failed doBackAction', async () => {
    centre.onExhausted = 'stop';
    await centre.plugin('one').plugin('two').declare();
    const doBackAction = (): never => {
      throw new Error('nothing to undo');
    };
    await centre.host({ 'app.one': { doAction: fails, doBackAction }, 'app.two': plugin('two') });
    const [eventId] = await centre.publish();
    expect(await centre.ends(eventId!, 2)).toEqual(['one failed 1', 'two skipped 0']);
    expect(calls).toEqual([]);
    expect(centre.outcomes[0]?.error).toBe('out of stock; doBackAction: nothing to undo');
  });

  it('fails with its name what the host has no class for', async () => {
    await centre.plugin('one').declare();
    const host = await centre.host({});
    const [eventId] = await centre.publish();
    expect(await centre.ends(eventId!, 1)).toEqual(['one failed 1']);
    expect(centre.outcomes[0]?.error).toContain('app.one');
    expect(host.status()).toMatchObject({ connected: true, problem: null, missingPlugins: ['app.one'] });
  });

  it('fails a plugin that hangs when its time-out is over, and goes on', async () => {
    await centre.plugin('one', { timeoutMs: 150 }).plugin('two').declare();
    const aborted: boolean[] = [];
    await centre.host({
      'app.one': plugin('one', async (_event, signal) => {
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        aborted.push(signal.aborted);
      }),
      'app.two': plugin('two'),
    });
    const [eventId] = await centre.publish();
    expect(await centre.ends(eventId!, 2)).toEqual(['one failed 1', 'two succeeded 1']);
    expect(centre.outcomes[0]?.error).toContain('150 ms');
    expect(aborted).toEqual([true]);
  });

  it('waits for a queue that the centre has not declared yet, and says so', async () => {
    centre.plugin('one');
    const host = await centre.host({ 'app.one': plugin('one') });
    const queue = centre.fixture.names.node(centre.queue);
    await until('the host misses its queue', () => host.status().problem?.includes(`there is no queue ${queue}`));
    await centre.declare();
    const [eventId] = await centre.publish();
    expect(await centre.ends(eventId!, 1)).toEqual(['one succeeded 1']);
    expect(host.status()).toMatchObject({ connected: true, problem: null });
  });

  it('reads the registrations anew for an event of a later version', async () => {
    await centre.plugin('one').declare();
    await centre.host({ 'app.one': plugin('one'), 'app.two': plugin('two') });
    centre.version = 2;
    centre.plugin('two');
    const [eventId] = await centre.publish();
    expect(await centre.ends(eventId!, 2)).toEqual(['one succeeded 1', 'two succeeded 1']);
  });

  it('goes on with what it knows while the centre is away, and keeps events of a later version until it is back', async () => {
    await centre.plugin('one').declare();
    await centre.host({ 'app.one': plugin('one') });
    centre.away = true;
    const [known] = await centre.publish();
    const claimed = await centre.publishToClaim();
    expect(await centre.ends(known!, 1)).toEqual(['one succeeded 1']);
    expect(await centre.ends(claimed, 1)).toEqual(['one succeeded 1']);
    expect(centre.claims.requests).toEqual([]);
    centre.version = 2;
    const [later] = await centre.publish();
    const [known2] = await centre.publish(1, { registryVersion: 1 });
    expect(await centre.ends(known2!, 1)).toEqual(['one succeeded 1']);
    expect(centre.outcomes.filter(({ eventId }) => eventId === later)).toEqual([]);
    centre.away = false;
    expect(await centre.ends(later!, 1)).toEqual(['one succeeded 1']);
  });

  it('lets its queue wait while the centre shuts the node out, as for a disabled one, and says why', async () => {
    await centre.plugin('one').declare();
    const host = await centre.host({ 'app.one': plugin('one') });
    centre.refusal = 'UNKNOWN_APP';
    await until('the host knows', () =>
      host.status().problem?.includes('shuts the node out, whose events wait: it is disabled'),
    );
    const [eventId] = await centre.publish();
    await until('the event waits', async () => (await centre.broker.depth(centre.queue)) === 1);
    expect(calls).toEqual([]);
    centre.refusal = null;
    expect(await centre.ends(eventId!, 1)).toEqual(['one succeeded 1']);
    expect(host.status().problem).toBeNull();
  });

  it('drops a step that another message has, and passes by what is settled', async () => {
    await centre.plugin('one').plugin('two').declare();
    const taken = centre.claims.claim.bind(centre.claims);
    centre.claims.claim = (request) =>
      request.generation === 2 ? Promise.resolve({ result: 'lost' }) : taken(request);
    await centre.host({ 'app.one': plugin('one'), 'app.two': plugin('two') });
    await centre.publishToClaim(2);
    await centre.emptied();
    const settled = { result: 'granted' as const, settled: new Map([['one', 'succeeded' as const]]) };
    centre.claims.claim = () => Promise.resolve(settled);
    const eventId = await centre.publishToClaim();
    expect(await centre.ends(eventId, 1)).toEqual(['two succeeded 1']);
    expect(calls).toEqual(['two 1']);
    expect(centre.outcomes).toHaveLength(1);
  });

  it('shares the events of the node between two hosts, each event with one of them', async () => {
    await centre.plugin('one').declare();
    const takes = { first: [] as string[], second: [] as string[] };
    const act = (list: string[]): IBusinessEventListener => ({
      doAction: async ({ eventId }) => {
        list.push(eventId);
        await new Promise((resolve) => setTimeout(resolve, 20));
      },
    });
    await Promise.all([
      centre.host({ 'app.one': act(takes.first) }, { concurrency: 2 }),
      centre.host({ 'app.one': act(takes.second) }, { concurrency: 2 }),
    ]);
    const eventIds = await centre.publish(60);
    await until('all were reported', () => centre.outcomes.length === 60);
    expect([...takes.first, ...takes.second].sort()).toEqual([...eventIds].sort());
    expect(takes.first.length).toBeGreaterThan(10);
    expect(takes.second.length).toBeGreaterThan(10);
  });

  it('ends what runs when it is stopped, reports it, and gives the rest back without an attempt', async () => {
    await centre.plugin('one').declare();
    const { opened, open } = gate();
    const host = await centre.host({ 'app.one': plugin('one', () => opened) }, { concurrency: 1 });
    const eventIds = await centre.publish(4);
    await until('one runs', () => calls.length === 1);
    const stopped = host.stop(10_000);
    open();
    await stopped;
    expect(calls).toEqual(['one 1']);
    await until('it was reported', () => centre.outcomes.length === 1);
    await until('the rest is back', async () => (await centre.broker.depth(centre.queue)) === 3);
    await centre.host({ 'app.one': plugin('other') });
    await until('all were reported', () => centre.outcomes.length === 4);
    expect(calls).toEqual(['one 1', 'other 1', 'other 1', 'other 1']);
    expect(new Set(centre.outcomes.map(({ eventId }) => eventId))).toEqual(new Set(eventIds));
  });

  it('aborts what does not end within the grace: no attempt, and another host runs it', async () => {
    await centre.plugin('one', { timeoutMs: 60_000 }).declare();
    let signal: AbortSignal | null = null;
    const hanging = plugin('one', async (_event, ends) => {
      signal = ends;
      await new Promise(() => undefined);
    });
    const host = await centre.host({ 'app.one': hanging });
    const [eventId] = await centre.publish();
    await until('it runs', () => signal !== null);
    await host.stop(50);
    expect((signal as unknown as AbortSignal).aborted).toBe(true);
    await centre.host({ 'app.one': plugin('other') });
    expect(await centre.ends(eventId!, 1)).toEqual(['one succeeded 1']);
    expect(calls).toEqual(['one 1', 'other 1']);
  });

  it('does not report a failure whose doBackAction was cut off: another host undoes it', async () => {
    await centre.plugin('one', { timeoutMs: 60_000 }).declare();
    let undoing = false;
    const host = await centre.host({
      'app.one': {
        doAction: fails,
        doBackAction: async () => {
          undoing = true;
          await new Promise(() => undefined);
        },
      },
    });
    const [eventId] = await centre.publish();
    await until('it is being undone', () => undoing);
    await host.stop(50);
    expect(centre.outcomes).toEqual([]);
    await centre.host({ 'app.one': { doAction: fails, doBackAction: () => void calls.push('undone') } });
    expect(await centre.ends(eventId!, 1)).toEqual(['one failed 1']);
    expect(calls).toEqual(['undone']);
  });

  describe('with the broker behind a proxy', () => {
    let proxy: TcpProxy;
    let url: string;

    beforeEach(async () => {
      proxy = await tcpProxy(brokerTarget());
      url = throughPort(user.url, proxy.port);
    });

    afterEach(async () => {
      await proxy.close();
    });

    it('loses nothing when the connection goes in the middle of a plugin', async () => {
      await centre.plugin('one').plugin('two').declare();
      const { opened, open } = gate();
      const plugins = { 'app.one': plugin('one', () => opened), 'app.two': plugin('two') };
      const host = await centre.host(plugins, { transport: { url } });
      const eventIds = await centre.publish(5);
      await until('plugins run', () => calls.length >= 4);
      proxy.cut();
      await until('the host knows', () => !host.status().connected);
      open();
      proxy.restore();
      const more = await centre.publish(3);
      for (const eventId of [...eventIds, ...more]) {
        await until(`${eventId} is done`, () =>
          ['one', 'two'].every((id) =>
            centre.outcomes.some((o) => o.eventId === eventId && o.listenerId === id && o.state === 'succeeded'),
          ),
        );
      }
      await centre.emptied();
      await until('nothing is in hand', () => host.status().inHand === 0);
      expect(centre.dead).toEqual([]);
    }, 30_000);

    it('starts while the broker is away, says so, and works when it comes', async () => {
      proxy.cut();
      await centre.plugin('one').declare();
      const [eventId] = await centre.publish();
      const host = await centre.host({ 'app.one': plugin('one') }, { transport: { url } });
      expect(host.status()).toMatchObject({
        state: 'running',
        connected: false,
        problem: expect.stringContaining(String(proxy.port)),
      });
      proxy.restore();
      expect(await centre.ends(eventId!, 1)).toEqual(['one succeeded 1']);
    }, 30_000);

    it('goes to the next address when one does not answer', async () => {
      proxy.cut();
      await centre.plugin('one').declare();
      await centre.host({ 'app.one': plugin('one') }, { transport: { url: undefined, urls: [url, user.url] } });
      const [eventId] = await centre.publish();
      expect(await centre.ends(eventId!, 1)).toEqual(['one succeeded 1']);
    });
  });
});
