import { FailureAnnouncer } from '../../src/core/recording/announce-failures.js';
import { EventCenterError } from '../../src/core/errors.js';
import type { Event, EventMessage, Listener, Outcome } from '../../src/core/model.js';
import type { ParkedMessage } from '../../src/core/ports.js';
import { silentLog } from '../support/databases.js';
import { FakeJournalStore } from '../support/journal-queues.js';
import {
  aListener,
  anEvent,
  anOutcome,
  countingIncidents,
  EditableRegistry,
  ManualClock,
} from '../support/redelivering.js';
import { anEventType } from '../support/registry-fixtures.js';

const BUILT_IN = anEventType('X', { sourceId: 'EVENT_CENTER', eventTypeCode: 'DELIVERY_EXHAUSTED' });
const UNAVAILABLE = new EventCenterError('UNAVAILABLE', 'not confirmed');

class Setting {
  readonly store = new FakeJournalStore();
  readonly registry = new EditableRegistry();
  readonly clock = new ManualClock();
  readonly metrics = countingIncidents();
  readonly published: EventMessage[] = [];
  readonly parked: { message: ParkedMessage; dueAt: number }[] = [];
  brokerAway = false;
  asked = 0;
  readonly announcer: FailureAnnouncer;
  readonly plugin: Listener;
  readonly called: Listener;
  readonly watcher: Listener;

  constructor() {
    this.registry.eventTypes = [anEventType('T', { sourceId: 'order' }), BUILT_IN];
    this.plugin = this.registry.add(aListener('P', 'T', { url: null, implClassName: 'p.P' }));
    this.called = this.registry.add(aListener('U', 'T'));
    this.watcher = this.registry.add(aListener('W', 'X'));
    this.announcer = new FailureAnnouncer({
      broker: {
        publishEvent: (message) => {
          this.asked += 1;
          if (this.brokerAway) return Promise.reject(UNAVAILABLE);
          this.published.push(message);
          return Promise.resolve();
        },
      },
      parked: {
        park: async (message, dueAt) => {
          await this.store.probe();
          this.parked.push({ message, dueAt });
        },
      },
      journalStore: this.store,
      registry: this.registry,
      clock: this.clock,
      log: silentLog,
      metrics: this.metrics,
    });
  }

  event(more: Partial<Event> = {}): Event {
    return anEvent({ eventTypeId: 'T', acceptedAt: this.clock.time, ...more });
  }

  failure(event: Event, listener = this.plugin, more: Partial<Outcome> = {}): Outcome {
    return anOutcome(event, listener, { state: 'failed', attempt: 6, ...more });
  }

  get payloads(): unknown[] {
    return this.published.map(({ event }) => JSON.parse(event.userObject!.toString()) as unknown);
  }
}

describe('a recorded failure', () => {
  let setting: Setting;

  beforeEach(() => {
    setting = new Setting();
  });

  it('of a plugin is announced with tenant and trace of its event', async () => {
    const { announcer, published, plugin } = setting;
    const event = setting.event({ tenantCode: 'T1', traceparent: '00-1-2-01' });
    await announcer.recorded([setting.failure(event)], [event]);
    expect(published).toMatchObject([
      {
        event: { appId: 'EVENT_CENTER', eventTypeId: 'X', tenantCode: 'T1', traceparent: '00-1-2-01' },
        chain: null,
        claimSteps: true,
      },
    ]);
    const { eventId } = event;
    const last = { attempts: 6, lastStatus: 500, lastError: 'status 500' };
    expect(setting.payloads).toEqual([{ eventId, listenerId: plugin.id, nodeCode: 'P', ...last }]);
    expect(setting.store.originQueries).toEqual([]);
  });

  it('is the same event when it is announced again, and another one in another generation', async () => {
    const event = setting.event();
    for (const generation of [1, 1, 2]) {
      await setting.announcer.recorded([setting.failure(event, setting.plugin, { generation })], [event]);
    }
    const [first, again, next] = setting.published.map((message) => message.event.eventId);
    expect([again === first, next === first]).toEqual([true, false]);
  });

  it('of a plugin is announced although the plugin was deleted or is new here', async () => {
    const event = setting.event();
    const outcome = setting.failure(event);
    const { registry } = setting;
    const [before, without] = [registry.current(), new EditableRegistry()];
    without.eventTypes = registry.eventTypes;
    without.listeners = [setting.watcher];
    const now = jest.spyOn(registry, 'current').mockReturnValue(without.current());
    jest.spyOn(registry, 'refreshed').mockResolvedValue(before);
    await setting.announcer.recorded([outcome], [event]);
    now.mockRestore();
    expect(setting.published).toHaveLength(1);
  });

  it('of a url is announced only when it was dead-lettered, because its worker tells of the others', async () => {
    const { announcer, called } = setting;
    const [event, dead] = [setting.event(), setting.event()] as [Event, Event];
    const outcomes = [setting.failure(event, called), setting.failure(dead, called, { reason: 'dead-lettered' })];
    await announcer.recorded(outcomes, [event, dead]);
    expect(setting.payloads).toMatchObject([{ eventId: dead.eventId }]);
  });

  it('reads the events that were recorded before by one query, and nothing without a failure', async () => {
    const { announcer, store, plugin, called } = setting;
    const events = [1, 2, 3].map((n) => setting.event({ tenantCode: `T${n}` }));
    const [a, b, inHand] = events as [Event, Event, Event];
    await store.record({ events: [a, b].map((event) => ({ event, owed: [], scheduled: false })), outcomes: [] });
    const fine = (['succeeded', 'retrying', 'skipped'] as const).map((state) => anOutcome(a, plugin, { state }));
    await announcer.recorded([...fine, setting.failure(a, called)], []);
    expect(store.originQueries).toEqual([]);
    const other = setting.failure(a, { ...plugin, operIndex: 2 }, { generation: 2 });
    await announcer.recorded([...[a, b, inHand].map((event) => setting.failure(event)), other], [inHand]);
    expect(store.originQueries).toEqual([[a.eventId, b.eventId]]);
    expect(setting.published.map(({ event }) => event.tenantCode)).toEqual(['T1', 'T2', 'T3', 'T1']);
  });

  it('of a built-in event announces nothing', async () => {
    const watcher = setting.registry.add(aListener('V', 'X', { url: null, implClassName: 'v.V' }));
    const event = setting.event({ sourceId: 'EVENT_CENTER', eventTypeId: 'X' });
    await setting.announcer.recorded([setting.failure(event, watcher)], [event]);
    setting.clock.time += 60 * 60_000;
    await setting.announcer.recorded([setting.failure(event, watcher)], []);
    expect(setting.asked).toBe(0);
  });

  it('to which nobody listens is neither read nor announced', async () => {
    setting.registry.remove(setting.watcher.id);
    const event = setting.event();
    await setting.announcer.recorded([setting.failure(event)], []);
    await setting.announcer.failed(event, [setting.failure(event)]);
    expect([setting.asked, setting.store.originQueries]).toEqual([0, []]);
  });

  it('whose event is not recorded yet comes again later, and in the end is announced without it', async () => {
    const { announcer, clock, plugin } = setting;
    const event = setting.event({ tenantCode: 'T1' });
    const outcome = setting.failure(event);
    await announcer.recorded([outcome], []);
    expect(setting.published).toEqual([]);
    expect(setting.parked).toEqual([{ message: { kind: 'outcomes', outcomes: [outcome] }, dueAt: clock.time + 5_000 }]);
    clock.time += 11 * 60_000;
    await announcer.recorded([outcome], []);
    expect(setting.payloads).toMatchObject([{ listenerId: plugin.id }]);
    expect(setting.published[0]!.event.tenantCode).toBeNull();
  });

  it('comes again in messages that are not too long, however many came in one', async () => {
    const outcomes = Array.from({ length: 450 }, () => setting.failure(setting.event()));
    await setting.announcer.recorded(outcomes, []);
    const together = setting.parked.map(({ message }) => (message.kind === 'outcomes' ? message.outcomes : []));
    expect(together.map(({ length }) => length)).toEqual([200, 200, 50]);
    expect(together.flat()).toEqual(outcomes);
  });

  it('is kept in the store when the broker does not confirm, and the broker is not asked for each', async () => {
    setting.brokerAway = true;
    const events = Array.from({ length: 100 }, () => setting.event());
    await setting.announcer.recorded(
      events.map((event) => setting.failure(event)),
      events,
    );
    expect(setting.parked.map(({ message }) => message.kind)).toEqual(events.map(() => 'event'));
    expect(setting.asked).toBeLessThanOrEqual(32);
  });

  it('that finds no place in broker or store is not taken as announced', async () => {
    setting.brokerAway = true;
    setting.store.away = true;
    const event = setting.event();
    const given = { code: 'UNAVAILABLE' };
    await expect(setting.announcer.recorded([setting.failure(event)], [event])).rejects.toMatchObject(given);
    await expect(setting.announcer.recorded([setting.failure(event)], [])).rejects.toMatchObject(given);
    await expect(setting.announcer.failed(event, [setting.failure(event)])).rejects.toMatchObject(given);
  });
});
