import { z } from 'zod';
import type { BusinessEvent } from '../../src/business-event.js';
import { InvalidOptionError } from '../../src/errors.js';
import type { IBusinessEventListener } from '../../src/plugins/plugin.js';
import { createReceiver } from '../../src/receiver/receiver.js';
import {
  DeadEventError,
  EventHandlers,
  MemoryDeadEventStore,
  type EventHandlersOptions,
} from '../../src/handlers/index.js';

const Order = z.object({ orderId: z.string(), total: z.number() });

function anEvent(payload: unknown, fields: Partial<BusinessEvent> = {}): BusinessEvent {
  return {
    eventId: 'e-1',
    sourceId: 'ERP',
    eventType: 'ORDER',
    tenantCode: null,
    payload,
    userObject: JSON.stringify(payload),
    listenerId: null,
    attempt: 1,
    acceptedAt: null,
    senderUuid: null,
    traceparent: null,
    ...fields,
  };
}

/** Handlers that note what they were given. */
function aKit(options: EventHandlersOptions = {}) {
  const handled: [by: string, payload: unknown][] = [];
  const handlers = new EventHandlers(options);
  const noteAs = (by: string) => (payload: unknown) => void handled.push([by, payload]);
  return { handlers, handled, noteAs };
}

const ORDER_1 = { version: 1, orderId: 'o-1', total: 5 };

describe('handlers by event type and version', () => {
  it('hands the typed payload and the event to the handler of its version', async () => {
    const { handlers, handled, noteAs } = aKit();
    const given: [id: string, total: number, eventId: string][] = [];
    handlers
      .on('ORDER', 1, Order, ({ orderId, total }, event) => void given.push([orderId, total, event.eventId]))
      .on('ORDER', '2', (payload) => payload as { lines: string[] }, noteAs('v2'));
    await handlers.handle(anEvent(ORDER_1));
    await handlers.handle(anEvent({ version: 2, lines: ['a'] }));
    expect(given).toEqual([['o-1', 5, 'e-1']]);
    expect(handled).toEqual([['v2', { version: 2, lines: ['a'] }]]);
  });

  it.each([
    ['version', { version: 'v2' }],
    ['event_version', { event_version: ' v2 ' }],
  ])('reads the version from %s', async (_, payload) => {
    const { handlers, handled, noteAs } = aKit();
    handlers.on('ORDER', 'v1', (p) => p, noteAs('v1')).on('ORDER', 'v2', (p) => p, noteAs('v2'));
    await handlers.handle(anEvent(payload));
    expect(handled).toEqual([['v2', payload]]);
  });

  it('reads version and payload from where it is told', async () => {
    const { handlers, handled, noteAs } = aKit({
      versionOf: (event) => (event.payload as any).meta.v,
      payloadOf: (event) => (event.payload as any).body,
    });
    handlers.on('ORDER', 3, Order, noteAs('v3'));
    await handlers.handle(anEvent({ meta: { v: 3 }, body: { orderId: 'o', total: 1 } }));
    expect(handled).toEqual([['v3', { orderId: 'o', total: 1 }]]);
  });

  it('prefers a type that is named with its source', async () => {
    const { handlers, handled, noteAs } = aKit();
    handlers
      .on('ORDER', 1, (p) => p, noteAs('any source'))
      .on({ sourceId: 'ERP', eventType: 'ORDER' }, 1, (p) => p, noteAs('ERP'));
    await handlers.handle(anEvent(ORDER_1));
    await handlers.handle(anEvent(ORDER_1, { sourceId: 'SHOP' }));
    expect(handled.map(([by]) => by)).toEqual(['ERP', 'any source']);
  });

  const UNHANDLED: [why: string, payload: unknown, reason: RegExp][] = [
    ['another version', { version: 9 }, /version 9 of ERP\/ORDER has no handler, expected one of 1/],
    ['a version that is none', { version: { major: 1 } }, /a version of type object/],
    ['a payload that its schema refuses', { version: 1, orderId: 'o' }, /does not fit its schema: total: /],
    ['a payload that is no JSON', '<order/>', /does not fit its schema: payload: /],
  ];

  it.each(UNHANDLED)('keeps an event with %s as dead, with its reason', async (_, payload, reason) => {
    const told: string[] = [];
    const { handlers, handled, noteAs } = aKit({ onDead: (dead) => void told.push(dead.reason) });
    handlers.on('ORDER', 1, Order, noteAs('v1'));
    const event = anEvent(payload);
    const error = await handlers.handle(event).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeadEventError);
    expect(error).toMatchObject({ code: 'DEAD_EVENT', eventId: 'e-1', reason: expect.stringMatching(reason) });
    expect(await handlers.deadEvents.list()).toEqual([
      { event, reason: expect.stringMatching(reason), at: expect.any(Number) },
    ]);
    expect(told).toEqual([expect.stringMatching(reason)]);
    expect(handled).toEqual([]);
  });

  it('takes what a reading function throws as the reason', async () => {
    const { handlers, noteAs } = aKit();
    const read = (payload: unknown): number => {
      if (typeof payload !== 'number') throw new Error('expected a number');
      return payload;
    };
    handlers.on('ORDER', 1, read, noteAs('v1'));
    await expect(handlers.handle(anEvent(ORDER_1))).rejects.toThrow(/does not fit its schema: expected a number/);
  });

  it('keeps an event of a type without a handler as dead, or passes over it', async () => {
    const { handlers } = aKit();
    await expect(handlers.handle(anEvent(ORDER_1))).rejects.toThrow('no handler is registered for ERP/ORDER');
    const ignoring = aKit({ onUnknown: 'ignore' }).handlers;
    await ignoring.handle(anEvent(ORDER_1));
    expect(await ignoring.deadEvents.list()).toEqual([]);
  });

  it('gives an event without a version to the only handler of its type, unless there are several or it is told not to', async () => {
    const { handlers, handled, noteAs } = aKit();
    handlers.on('ORDER', 1, Order, noteAs('v1'));
    await handlers.handle(anEvent({ orderId: 'o', total: 1 }));
    expect(handled).toHaveLength(1);
    handlers.on('ORDER', 2, Order, noteAs('v2'));
    await expect(handlers.handle(anEvent({ orderId: 'o', total: 1 }))).rejects.toThrow(
      /it has no version, expected one of 1, 2/,
    );
    const strict = aKit({ withoutVersion: 'dead' });
    strict.handlers.on('ORDER', 1, Order, strict.noteAs('v1'));
    await expect(strict.handlers.handle(anEvent({ orderId: 'o', total: 1 }))).rejects.toThrow(DeadEventError);
  });

  it('tells the receiver and the plugin host that a dead event was taken, and that a failing handler failed', async () => {
    const { handlers } = aKit();
    handlers.on('ORDER', 1, Order, () => {
      throw new Error('database away');
    });
    const receive = handlers.asReceiverHandler();
    const plugin = handlers.asPlugin();
    await receive(anEvent({ version: 7 }, { eventId: 'e-7' }));
    await plugin.doAction(anEvent({ version: 8 }, { eventId: 'e-8' }));
    plugin satisfies IBusinessEventListener;
    expect((await handlers.deadEvents.list()).map(({ event }) => event.eventId)).toEqual(['e-7', 'e-8']);
    await expect(receive(anEvent(ORDER_1))).rejects.toThrow('database away');
    await expect(plugin.doAction(anEvent(ORDER_1))).rejects.toThrow('database away');
    expect(await handlers.deadEvents.find('e-1')).toBeNull();
  });

  it('answers success for a dead event, and failure for a failing handler, behind a receiver', async () => {
    const { handlers } = aKit();
    handlers.on('ORDER', 1, Order, () => {
      throw new Error('database away');
    });
    const receiver = createReceiver({ requireSignature: false }, handlers.asReceiverHandler());
    const call = async (uuid: string, payload: unknown): Promise<unknown> => {
      const form = { sourceID: 'ERP', eventType: 'ORDER', userObject: JSON.stringify(payload), uuid };
      const body = new URLSearchParams(form).toString();
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const answer = await receiver.fetch(new Request('http://localhost/events', { method: 'POST', headers, body }));
      return answer.json();
    };
    expect(await call('e-7', { version: 7 })).toEqual({ success: 'true' });
    expect(await call('e-8', ORDER_1)).toMatchObject({ success: 'false', code: 'HANDLER_FAILED' });
    expect((await handlers.deadEvents.list()).map(({ event }) => event.eventId)).toEqual(['e-7']);
  });

  it('fails instead of losing an event that the list of dead events does not take', async () => {
    const { handlers } = aKit({ deadEvents: new MemoryDeadEventStore({ limit: 1 }) });
    const receive = handlers.asReceiverHandler();
    await receive(anEvent(ORDER_1, { eventId: 'e-1' }));
    await receive(anEvent(ORDER_1, { eventId: 'e-1' }));
    await expect(receive(anEvent(ORDER_1, { eventId: 'e-2' }))).rejects.toThrow(/full with 1/);
  });

  it('fails when a schema breaks instead of naming what is wrong', async () => {
    const { handlers, noteAs } = aKit();
    const validate = () => Promise.reject(new Error('look-up away'));
    const broken = { '~standard': { version: 1 as const, vendor: 'test', validate } };
    handlers.on('ORDER', 1, broken, noteAs('v1'));
    await expect(handlers.asReceiverHandler()(anEvent(ORDER_1))).rejects.toThrow('look-up away');
    expect(await handlers.deadEvents.list()).toEqual([]);
  });

  it('handles a dead event again, and takes it off the list only when that succeeds', async () => {
    const { handlers, handled, noteAs } = aKit();
    const event = anEvent({ version: 2, orderId: 'o', total: 1 });
    await handlers.asReceiverHandler()(event);
    await expect(handlers.retryDead('e-1')).rejects.toThrow(DeadEventError);
    let failing = true;
    const note = noteAs('v2');
    handlers.on('ORDER', 2, Order, (payload) => {
      if (failing) throw new Error('not yet');
      note(payload);
    });
    await expect(handlers.retryDead('e-1')).rejects.toThrow('not yet');
    expect(await handlers.deadEvents.find('e-1')).not.toBeNull();
    failing = false;
    await Promise.all([handlers.retryDead('e-1'), handlers.retryDead('e-1')]);
    expect(handled).toEqual([['v2', { orderId: 'o', total: 1 }]]);
    expect(await handlers.deadEvents.list()).toEqual([]);
    await expect(handlers.retryDead('e-1')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('refuses what it cannot register, naming the field', () => {
    const { handlers, noteAs } = aKit();
    handlers.on('ORDER', 1, Order, noteAs('v1'));
    const tries: [field: string, act: () => unknown][] = [
      ['version', () => handlers.on('ORDER', '1', Order, noteAs('again'))],
      ['version', () => handlers.on('ORDER', ' ', Order, noteAs('v'))],
      ['eventType', () => handlers.on('', 1, Order, noteAs('v'))],
      ['schema', () => handlers.on('ORDER', 2, { type: 'object' } as never, noteAs('v'))],
      ['handler', () => handlers.on('ORDER', 2, Order, undefined as never)],
      ['onUnknown', () => new EventHandlers({ onUnknown: 'skip' as never })],
    ];
    for (const [field, act] of tries) {
      expect(act).toThrow(InvalidOptionError);
      expect(act).toThrow(new RegExp(`^${field}: `));
    }
  });
});
