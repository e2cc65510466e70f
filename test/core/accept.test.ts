import type { Submission } from '../../src/core/accepting/submission.js';
import { AcceptingSetting, aNode, anEventType, VECTOR_TS } from '../support/accepting.js';

const EVENT: Submission = {
  sourceId: 'USER',
  eventType: 'ADD',
  tenantCode: null,
  userObject: null,
  uuid: null,
  deliverAt: null,
  orderKey: null,
  traceparent: null,
  bodyFields: [],
};

const registered = {
  version: 7,
  nodes: [aNode('A'), aNode('B'), aNode('OFF', { enabled: false })],
  eventTypes: [
    anEventType('USER', 'ADD'),
    anEventType('USER', 'OWNED', { owner: 'B' }),
    anEventType('EVENT_CENTER', 'DELIVERY_EXHAUSTED', { owner: 'EVENT_CENTER' }),
  ],
};

/** The acceptor with a signature that is already right. */
function signed(setting: AcceptingSetting, submission: Partial<Submission>, appId = 'A') {
  const call = { appId, ts: String(setting.clock.time), sign: 'right', isSignedWith: () => true, unreadable: null };
  return setting.acceptor.acceptSigned(call, () => ({ ...EVENT, ...submission }));
}

function trusted(setting: AcceptingSetting, submission: Partial<Submission>, appId: string | null = null) {
  return setting.acceptor.acceptTrusted({ actor: 'token:t', appId }, { ...EVENT, ...submission });
}

describe('accepting an event', () => {
  it('publishes it with everything that is known of it, stamped with the registry version', async () => {
    const setting = new AcceptingSetting(registered);
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const { eventId, code } = await signed(setting, { tenantCode: 't1', userObject: '{"n":1} ', traceparent });
    expect(code).toBe('OK');
    expect(setting.broker.messages).toEqual([
      {
        event: {
          eventId,
          appId: 'A',
          eventTypeId: 'type USER ADD',
          sourceId: 'USER',
          eventType: 'ADD',
          tenantCode: 't1',
          userObject: Buffer.from('{"n":1} '),
          senderUuid: null,
          traceparent,
          acceptedAt: VECTOR_TS,
          deliverAt: null,
          registryVersion: 7,
        },
        chain: null,
        claimSteps: false,
      },
    ]);
    expect(eventId[14]).toBe('7');
  });

  it('keeps an empty payload apart from none', async () => {
    const setting = new AcceptingSetting(registered);
    await signed(setting, { userObject: '' });
    await signed(setting, { userObject: null });
    expect(setting.broker.events.map((event) => event.userObject)).toEqual([Buffer.alloc(0), null]);
  });

  it('is not said before the broker has confirmed', async () => {
    const setting = new AcceptingSetting(registered);
    let confirm = (): void => undefined;
    setting.broker.beforeConfirm = () => new Promise((resolve) => (confirm = resolve));
    let answered = false;
    const accepting = signed(setting, {}).then(() => (answered = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
    confirm();
    await accepting;
    expect(setting.broker.messages).toHaveLength(1);
  });

  it('ignores a traceparent that is none', async () => {
    const setting = new AcceptingSetting(registered);
    await signed(setting, { traceparent: 'nonsense' });
    await signed(setting, { traceparent: '00-00000000000000000000000000000000-b7ad6b7169203331-01' });
    expect(setting.broker.events.map((event) => event.traceparent)).toEqual([null, null]);
  });

  it('writes one line and one count per accepted and per refused event', async () => {
    const setting = new AcceptingSetting(registered);
    await signed(setting, { userObject: 'secret payload' });
    await expect(signed(setting, { eventType: 'NONE' })).rejects.toThrow();
    setting.broker.refuse = 1;
    await expect(signed(setting, {})).rejects.toThrow();
    expect(
      setting.log.lines.map(({ level, event, fields }) => [level, event, fields['code'], fields['eventType']]),
    ).toEqual([
      ['info', 'event.accepted', 'OK', 'ADD'],
      ['info', 'event.refused', 'UNKNOWN_EVENT_TYPE', 'NONE'],
      ['warn', 'event.refused', 'UNAVAILABLE', 'ADD'],
    ]);
    expect(JSON.stringify(setting.log.lines)).not.toContain('secret payload');
    expect(Object.fromEntries(setting.metrics.counts)).toEqual({
      'accepted OK': 1,
      'refused UNKNOWN_EVENT_TYPE': 1,
      'refused UNAVAILABLE': 1,
    });
  });
});

describe('the parameters', () => {
  it.each<[string, Partial<Submission>, string]>([
    ['sourceID is missing', { sourceId: null }, 'sourceID: '],
    ['sourceID is empty', { sourceId: '' }, 'sourceID: '],
    ['sourceID has 41 characters', { sourceId: 'x'.repeat(41) }, 'sourceID: '],
    ['eventType is missing', { eventType: null }, 'eventType: '],
    ['eventType has 41 characters', { eventType: '😀'.repeat(41) }, 'eventType: '],
    ['tenantCode has 41 characters', { tenantCode: 'x'.repeat(41) }, 'tenantCode: '],
    ['uuid has 129 characters', { uuid: 'x'.repeat(129) }, 'uuid: '],
    ['uuid has a control character', { uuid: 'a\nb' }, 'uuid: '],
    ['deliverAt is no time', { deliverAt: 'soon' }, 'deliverAt: '],
    ['deliverAt is years ahead', { deliverAt: '2019-01-01T00:00:00Z' }, 'deliverAt: '],
  ])('are refused when %s', async (_name, change, message) => {
    const setting = new AcceptingSetting(registered);
    await expect(signed(setting, change)).rejects.toMatchObject({
      code: 'INVALID_PARAM',
      message: expect.stringContaining(message),
    });
    expect(setting.broker.messages).toEqual([]);
  });

  it('may have 40 characters, counted as the database counts them', async () => {
    const name = '😀'.repeat(40);
    const setting = new AcceptingSetting({ ...registered, eventTypes: [anEventType(name, name)] });
    await signed(setting, { sourceId: name, eventType: name, tenantCode: name, uuid: 'x'.repeat(128) });
    expect(setting.broker.events).toMatchObject([{ sourceId: name, tenantCode: name }]);
  });

  it('need a tenantCode only when it is required', async () => {
    const lax = new AcceptingSetting(registered);
    await signed(lax, { tenantCode: '' });
    expect(lax.broker.events).toMatchObject([{ tenantCode: null }]);
    const strict = new AcceptingSetting(registered, { requireTenant: true });
    await expect(signed(strict, { tenantCode: '' })).rejects.toMatchObject({ fields: [{ path: 'tenantCode' }] });
    await signed(strict, { tenantCode: 't' });
  });

  it('refuse an orderKey as not built', async () => {
    const setting = new AcceptingSetting(registered);
    await expect(signed(setting, { orderKey: 'k' })).rejects.toMatchObject({ code: 'NOT_IMPLEMENTED' });
    await expect(signed(setting, { orderKey: '' })).rejects.toMatchObject({ code: 'NOT_IMPLEMENTED' });
  });
});

describe('a scheduled event', () => {
  it('goes to the journal only, with its time', async () => {
    const setting = new AcceptingSetting(registered);
    await signed(setting, { deliverAt: String(VECTOR_TS + 1) });
    expect(setting.broker.messages).toEqual([]);
    expect(setting.broker.scheduled).toMatchObject([{ deliverAt: VECTOR_TS + 1 }]);
  });

  it('is sent at once when its time is now or past', async () => {
    const setting = new AcceptingSetting(registered);
    await signed(setting, { deliverAt: String(VECTOR_TS) });
    await signed(setting, { deliverAt: '1999-12-31T23:59:59Z' });
    expect(setting.broker.events.map((event) => event.deliverAt)).toEqual([null, null]);
    expect(setting.broker.scheduled).toEqual([]);
  });
});

describe('the event type', () => {
  it('is looked up in the store once before it is refused', async () => {
    const setting = new AcceptingSetting(registered);
    await expect(signed(setting, { eventType: 'NEW' })).rejects.toMatchObject({ code: 'UNKNOWN_EVENT_TYPE' });
    expect(setting.registry.refreshes).toBe(1);
    setting.registry.registeredMeanwhile({ ...registered, version: 8, eventTypes: [anEventType('USER', 'NEW')] });
    await signed(setting, { eventType: 'NEW' });
    expect(setting.broker.events).toMatchObject([{ eventTypeId: 'type USER NEW', registryVersion: 8 }]);
    await signed(setting, { eventType: 'NEW' });
    expect(setting.registry.refreshes).toBe(2);
  });

  it('may be sent by its owner only', async () => {
    const setting = new AcceptingSetting(registered);
    await expect(signed(setting, { eventType: 'OWNED' })).rejects.toMatchObject({ code: 'NOT_OWNER' });
    await signed(setting, { eventType: 'OWNED' }, 'B');
    expect(setting.broker.events).toMatchObject([{ appId: 'B' }]);
  });

  it('of the centre itself may be sent by nobody', async () => {
    const setting = new AcceptingSetting(registered);
    const builtIn = { sourceId: 'EVENT_CENTER', eventType: 'DELIVERY_EXHAUSTED' };
    await expect(signed(setting, builtIn)).rejects.toMatchObject({ code: 'NOT_OWNER' });
    await expect(trusted(setting, builtIn)).rejects.toMatchObject({ code: 'NOT_OWNER' });
    await expect(trusted(setting, builtIn, 'EVENT_CENTER')).rejects.toMatchObject({ code: 'NOT_OWNER' });
  });
});

describe('the schema', () => {
  const schema = { type: 'object', properties: { amount: { type: 'number' } }, required: ['amount'] };
  const setting = new AcceptingSetting({ ...registered, eventTypes: [anEventType('USER', 'ADD', { schema })] });

  it.each([
    ['a wrong member', '{"amount":"1"}', 'userObject/amount: must be number'],
    ['a missing member', '{}', "userObject: must have required property 'amount'"],
    ['a text that is no JSON', 'amount=1', 'userObject: expected JSON'],
    ['an empty text', '', 'userObject: expected JSON'],
    ['no payload', null, 'userObject: must be object'],
  ])('refuses %s, naming the path', async (_name, userObject, message) => {
    await expect(signed(setting, { userObject })).rejects.toMatchObject({
      code: 'SCHEMA_MISMATCH',
      message: expect.stringContaining(message),
    });
  });

  it('lets a payload through that satisfies it, byte for byte', async () => {
    await signed(setting, { userObject: '{ "amount": 1.50 }' });
    expect(setting.broker.events.at(-1)?.userObject?.toString()).toBe('{ "amount": 1.50 }');
  });
});

describe('the order of checks', () => {
  it('is rate, parameters, type, owner, schema, key', async () => {
    const setting = new AcceptingSetting({
      ...registered,
      nodes: [aNode('A', { sendRateLimit: 1 })],
      eventTypes: [anEventType('USER', 'OWNED', { owner: 'B', schema: { type: 'object' } })],
    });
    const wrong = { sourceId: 'x'.repeat(41), eventType: 'OWNED', userObject: 'x' };
    await expect(signed(setting, wrong)).rejects.toMatchObject({ code: 'INVALID_PARAM' });
    await expect(signed(setting, wrong)).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    setting.clock.time += 1000;
    await expect(signed(setting, { eventType: 'OWNED', userObject: 'x' })).rejects.toMatchObject({ code: 'NOT_OWNER' });
  });
});

describe('the rate limit of a node', () => {
  it('refuses what is over it with the seconds to wait, and harms no other node', async () => {
    const setting = new AcceptingSetting({ ...registered, nodes: [aNode('A', { sendRateLimit: 2 }), aNode('B')] });
    await signed(setting, {});
    await signed(setting, {});
    await expect(signed(setting, {})).rejects.toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 1 });
    await expect(trusted(setting, {}, 'A')).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    await signed(setting, {}, 'B');
    setting.clock.time += 500;
    await signed(setting, {});
    expect(setting.broker.messages).toHaveLength(4);
  });

  it('follows a change of the registration', async () => {
    const setting = new AcceptingSetting({ ...registered, nodes: [aNode('A', { sendRateLimit: 0.001 })] });
    await signed(setting, {});
    await expect(signed(setting, {})).rejects.toMatchObject({ retryAfterSeconds: 1000 });
    setting.registry.registeredMeanwhile({ ...registered, version: 8, nodes: [aNode('A', { sendRateLimit: 5 })] });
    await setting.registry.refreshed();
    await signed(setting, {});
  });
});

describe('a send by token', () => {
  it('is in the name of the centre, or of the node it names', async () => {
    const setting = new AcceptingSetting(registered);
    await trusted(setting, {});
    await trusted(setting, { eventType: 'OWNED' });
    await trusted(setting, { eventType: 'OWNED' }, 'B');
    expect(setting.broker.events.map((event) => event.appId)).toEqual(['EVENT_CENTER', 'EVENT_CENTER', 'B']);
  });

  it('cannot name a node that is unknown, disabled or not the owner', async () => {
    const setting = new AcceptingSetting(registered);
    for (const appId of ['NOBODY', 'OFF']) {
      await expect(trusted(setting, {}, appId)).rejects.toMatchObject({
        code: 'INVALID_PARAM',
        fields: [{ path: 'appId' }],
      });
    }
    await expect(trusted(setting, { eventType: 'OWNED' }, 'A')).rejects.toMatchObject({ code: 'NOT_OWNER' });
  });

  it('names its fields as the management API does', async () => {
    const setting = new AcceptingSetting(registered);
    await expect(trusted(setting, { sourceId: '' })).rejects.toMatchObject({ fields: [{ path: 'sourceId' }] });
  });
});
