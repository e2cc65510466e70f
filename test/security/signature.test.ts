import * as crypto from 'node:crypto';
import { signCall, type FormField, type SignatureAlgorithm } from '@event-center/sdk';
import { aNode, anEventType, VECTOR_KEY, VECTOR_TS } from '../support/accepting.js';
import { parseRaw, rawRequest, SEND_PATH, SendingSetting, vector, type SendChange } from '../support/sending.js';

jest.mock('node:crypto', () => {
  const actual = jest.requireActual<typeof crypto>('node:crypto');
  return {
    ...actual,
    createHmac: jest.fn(actual.createHmac),
    timingSafeEqual: jest.fn(actual.timingSafeEqual),
  };
});

const OTHER_KEY = Buffer.from('another key of 20 b.').toString('base64');
const SKEW_MS = 300_000;
const ALGORITHMS: SignatureAlgorithm[] = ['HmacSHA1', 'HmacSHA256', 'HmacSHA384', 'HmacSHA512'];
const EVENT = { sourceID: 'USER', eventType: 'ADD', userObject: 'hello' };
/** Requests on their way at a time. */
const AT_A_TIME = 25;

const registered = {
  nodes: [
    aNode('A'),
    aNode('B', { appKey: OTHER_KEY }),
    aNode('OFF', { enabled: false }),
    ...ALGORITHMS.map((algorithm) => aNode(algorithm, { algorithm })),
  ],
  eventTypes: [
    anEventType('USER', 'ADD'),
    anEventType('USER', 'ADDs'),
    anEventType('USER', 'DELETE'),
    anEventType('UR', 'ADD'),
  ],
};

let setting: SendingSetting;
const begin = async (options: ConstructorParameters<typeof SendingSetting>[1] = {}) => {
  await setting.stop();
  setting = await new SendingSetting(registered, options).start();
};
beforeEach(async () => {
  setting = await new SendingSetting(registered).start();
});
afterEach(() => setting.stop());

interface RawSend {
  target: string;
  sign: string;
  body: string;
  headers?: string[];
}

/** A send that is right, in the parts in which it goes onto the wire. */
function aSend({
  fields = Object.entries(EVENT),
  query = `appId=A&ts=${String(VECTOR_TS)}`,
  contentLength,
}: { fields?: FormField[]; query?: string; contentLength?: number } = {}): RawSend {
  const body = fields.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
  const target = `${SEND_PATH}?${query}`;
  const signed = { url: target, fields, contentLength: contentLength ?? Buffer.byteLength(body) };
  return { target, body, sign: signCall({ ...signed, key: VECTOR_KEY, algorithm: 'HmacSHA1' }) };
}

/** Writes it byte for byte; gives the code of the answer, or its HTTP status when it is none of ours. */
async function codeOf({ target, sign, body, headers = [] }: RawSend): Promise<unknown> {
  const head = [
    `POST ${target} HTTP/1.1`,
    'Host: centre',
    'Connection: close',
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${String(Buffer.byteLength(body, 'latin1'))}`,
    ...(sign === '' ? [] : [`sign: ${sign}`]),
    ...headers,
  ];
  const answer = await setting.raw(Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`, 'latin1'));
  const status = Number(answer.slice(9, 12));
  return answer.includes('{"data"') ? parseRaw(answer).data['code'] : status;
}

/** The text with each of its bits flipped, one at a time. */
function* bitFlips(text: string): Generator<string> {
  for (let at = 0; at < text.length; at += 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      yield text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ (1 << bit)) + text.slice(at + 1);
    }
  }
}

/** What comes of every flip of one part; how often each code came. */
async function flipping(part: 'target' | 'sign' | 'body', send: RawSend): Promise<Map<unknown, number>> {
  const codes = new Map<unknown, number>();
  const flipped = [...bitFlips(send[part])];
  for (let at = 0; at < flipped.length; at += AT_A_TIME) {
    const batch = flipped.slice(at, at + AT_A_TIME).map((text) => codeOf({ ...send, [part]: text }));
    for (const code of await Promise.all(batch)) codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  return codes;
}

describe('a signature', () => {
  it.each(['sign', 'body', 'target'] as const)(
    'is refused after any one bit of the %s was flipped',
    async (part) => {
      const send = aSend();
      const codes = await flipping(part, send);
      expect([...codes.values()].reduce((sum, count) => sum + count, 0)).toBe(8 * send[part].length);
      expect([codes.get('OK'), codes.get('DUPLICATE')]).toEqual([undefined, undefined]);
      expect(codes.get('BAD_SIGNATURE')).toBeGreaterThan(part === 'target' ? 40 : 250);
      expect(setting.broker.messages).toEqual([]);
      expect(await codeOf(send)).toBe('OK');
    },
    120_000,
  );

  it('is refused when the body has another length, although its fields are the same', async () => {
    const send = aSend();
    const longer = { ...send, body: send.body.replace('hello', '%68ello') };
    expect(await codeOf(longer)).toBe('BAD_SIGNATURE');
    expect(await codeOf({ ...send, body: `${send.body}&` })).toBe('BAD_SIGNATURE');
    expect(await codeOf(send)).toBe('OK');
  });

  it('is refused in upper case, cut, prolonged, empty, missing, and as something else than hex', async () => {
    const send = aSend();
    const odd = [send.sign.toUpperCase(), send.sign.slice(0, -1), send.sign.slice(1), `${send.sign}0`, `0${send.sign}`];
    const stranger = ['', 'null', '0'.repeat(40), Buffer.from(send.sign, 'hex').toString('base64'), 'é'.repeat(20)];
    for (const sign of [...odd, ...stranger])
      expect([sign, await codeOf({ ...send, sign })]).toEqual([sign, 'BAD_SIGNATURE']);
    expect(await codeOf(send)).toBe('OK');
  });

  it('made with one algorithm is refused by a node that is registered with another', async () => {
    for (const signedWith of ALGORITHMS) {
      for (const appId of ALGORITHMS) {
        const { code } = (await setting.send(EVENT, { appId, algorithm: signedWith })).data;
        expect([signedWith, appId, code]).toEqual([signedWith, appId, signedWith === appId ? 'OK' : 'BAD_SIGNATURE']);
      }
    }
  });

  it('made without the key, by a plain hash or an empty or zero key, is refused', async () => {
    const { createHash, createHmac } = jest.requireActual<typeof crypto>('node:crypto');
    const send = aSend();
    const body = 'eventTypeADDsourceIDUSERuserObjecthello';
    const text = `SignProp{ts=${String(VECTOR_TS)}, remoteUserName='null', queryString='ts${String(VECTOR_TS)}', requestUrl='${SEND_PATH}', ip='null', contentLength='${String(send.body.length)}', paramsStr='${body}'}`;
    expect(createHmac('sha1', Buffer.from(VECTOR_KEY, 'base64')).update(text).digest('hex')).toBe(send.sign);
    const keyless = [
      createHash('sha1').update(text).digest('hex'),
      createHmac('sha1', '').update(text).digest('hex'),
      createHmac('sha1', Buffer.alloc(20)).update(text).digest('hex'),
      createHmac('md5', Buffer.from(VECTOR_KEY, 'base64')).update(text).digest('hex'),
      createHmac('sha1', VECTOR_KEY).update(text).digest('hex'),
    ];
    for (const sign of keyless) expect(await codeOf({ ...send, sign })).toBe('BAD_SIGNATURE');
  });

  it('of one application is refused in the name of another', async () => {
    const send = aSend();
    expect(await codeOf({ ...send, target: send.target.replace('appId=A', 'appId=B') })).toBe('BAD_SIGNATURE');
    expect(await codeOf({ ...send, target: send.target.replace('appId=A', 'appId=OFF') })).toBe('UNKNOWN_APP');
  });

  it('made by the library of the vendor is refused for another of its requests', async () => {
    const [one, other] = [vector('B'), vector('C')];
    expect(
      parseRaw(
        await setting.raw(rawRequest({ ...one, sign: other.sign, url: one.url.replace('ANONYMOUS_CLUSTER', 'A') })),
      ).data['code'],
    ).toBe('BAD_SIGNATURE');
  });
});

describe('a timestamp', () => {
  const sendAt = async (ts: number) => (await setting.send(EVENT, { ts })).data['code'];

  it('is good at the very edge of the window, past and future, and refused one millisecond beyond', async () => {
    expect(await sendAt(VECTOR_TS - SKEW_MS)).toBe('OK');
    expect(await sendAt(VECTOR_TS - SKEW_MS - 1)).toBe('TIMESTAMP_EXPIRED');
    expect(await sendAt(VECTOR_TS + SKEW_MS)).toBe('OK');
    expect(await sendAt(VECTOR_TS + SKEW_MS + 1)).toBe('TIMESTAMP_EXPIRED');
  });

  it('cannot be renewed without signing anew', async () => {
    const send = aSend();
    setting.clock.time += SKEW_MS + 1;
    expect(await codeOf(send)).toBe('TIMESTAMP_EXPIRED');
    const ts = String(setting.clock.time);
    expect(await codeOf({ ...send, target: send.target.replace(String(VECTOR_TS), ts) })).toBe('BAD_SIGNATURE');
    expect(await codeOf({ ...send, target: `${send.target}&ts=${ts}` })).toBe('BAD_SIGNATURE');
    expect(await codeOf({ ...send, headers: [`ts: ${ts}`] })).toBe('TIMESTAMP_EXPIRED');
    expect(setting.broker.messages).toEqual([]);
  });

  it('is refused unless it is a plain number', async () => {
    for (const ts of [
      '',
      '-1',
      '1e12',
      '0x17',
      ' 1467345600000',
      '1467345600000.0',
      '١٤٦٧٣٤٥٦٠٠٠٠٠',
      'NaN',
      '9'.repeat(17),
    ]) {
      const { data } = await setting.send(EVENT, { ts: encodeURIComponent(ts) });
      expect([ts, data['code']]).toEqual([ts, 'TIMESTAMP_EXPIRED']);
    }
  });
});

describe('a parameter that stands twice', () => {
  it('has the same value for the one who verifies and the one who reads: the last in the query', async () => {
    const ts = String(VECTOR_TS);
    expect(await codeOf(aSend({ query: `appId=B&ts=1&appId=A&ts=${ts}` }))).toBe('OK');
    expect(setting.broker.events.map(({ appId }) => appId)).toEqual(['A']);
    expect(await codeOf(aSend({ query: `appId=A&ts=${ts}&ts=1` }))).toBe('TIMESTAMP_EXPIRED');
    expect(await codeOf(aSend({ query: `appId=A&ts=${ts}&appId=B` }))).toBe('BAD_SIGNATURE');
  });

  it('as signature counts the last in the query, and not at all beside the header', async () => {
    const send = aSend();
    const { sign, target } = send;
    const inQuery = (query: string, header = '') => codeOf({ ...send, target: target + query, sign: header });
    expect(await inQuery(`&sign=0&sign=${sign}`)).toBe('OK');
    expect(await inQuery(`&sign=${sign}&sign=0`)).toBe('BAD_SIGNATURE');
    expect(await inQuery(`&sign=${sign}`, '0')).toBe('BAD_SIGNATURE');
    expect(await inQuery('&sign=0', sign)).toBe('OK');
    expect(await codeOf({ ...send, headers: [`sign: ${sign}`] })).toBe('BAD_SIGNATURE');
  });

  it('names the application in the query, whatever the header says', async () => {
    expect(await codeOf({ ...aSend(), headers: ['appId: B'] })).toBe('OK');
    expect(setting.broker.events.map(({ appId }) => appId)).toEqual(['A']);
    const inHeader = aSend({ query: `ts=${String(VECTOR_TS)}` });
    expect(await codeOf({ ...inHeader, headers: ['appId: A'] })).toBe('OK');
    expect(await codeOf({ ...inHeader, headers: ['appId: A', 'appId: B'] })).toBe('UNKNOWN_APP');
  });

  it('in the body is refused, although its signature is right', async () => {
    for (const name of ['sourceID', 'eventType', 'tenantCode', 'userObject', 'uuid', 'deliverAt', 'data']) {
      const fields: FormField[] = [...Object.entries(EVENT), [name, 'ADD'], [name, 'ADD']];
      expect([name, await codeOf(aSend({ fields }))]).toEqual([name, 'INVALID_PARAM']);
    }
    expect(setting.broker.messages).toEqual([]);
  });

  it('in query and body is refused, because the format of the vendor does not sign the one in the body', async () => {
    const target = `${SEND_PATH}?appId=A&ts=${String(VECTOR_TS)}&eventType=ADD`;
    const body = 'sourceID=USER&eventType=DELETE';
    const fields: FormField[] = [['sourceID', 'USER']];
    const sign = signCall({ url: target, fields, contentLength: body.length, key: VECTOR_KEY, algorithm: 'HmacSHA1' });
    expect(await codeOf({ target, sign, body })).toBe('INVALID_PARAM');
    expect(setting.broker.messages).toEqual([]);
  });

  it('cannot take a field out of the signature by a name in the query that has no value', async () => {
    const send = aSend();
    for (const more of ['&eventType=', '&eventType', '&eventType=a=b']) {
      const target = send.target + more;
      const body = send.body.replace('ADD', 'DEL');
      expect([more, await codeOf({ ...send, target, body })]).toEqual([more, 'BAD_SIGNATURE']);
      expect([more, await codeOf({ ...send, target })]).toEqual([more, 'OK']);
    }
    expect(setting.broker.events.every(({ eventType }) => eventType === 'ADD')).toBe(true);
  });

  it('is not moved between body and query', async () => {
    const send = aSend();
    const body = 'sourceID=USER&userObject=hello';
    expect(await codeOf({ ...send, target: `${send.target}&eventType=ADD`, body })).toBe('BAD_SIGNATURE');
    const signedInQuery = aSend({
      query: `appId=A&ts=${String(VECTOR_TS)}&eventType=ADD`,
      fields: [['sourceID', 'USER']],
    });
    expect(await codeOf(signedInQuery)).toBe('INVALID_PARAM');
    expect(setting.broker.messages).toEqual([]);
  });
});

describe('what the signature of the vendor does not cover, so that only TLS protects it', () => {
  const events = () =>
    setting.broker.events.map(({ eventType, userObject }) => [eventType, userObject?.toString() ?? null]);

  it('where a field ends: the end of a payload can be cut off into a field of another name', async () => {
    const fields: FormField[] = [...Object.entries({ ...EVENT, userObject: 'pay 100 元' })];
    const send = aSend({ fields, contentLength: 0 });
    const body = `sourceID=USER&eventType=ADD&userObject=pay%20100%20&${encodeURIComponent('元')}=`;
    expect(await codeOf({ ...send, body })).toBe('OK');
    expect(events()).toEqual([['ADD', 'pay 100 ']]);
  });

  it('where a field ends, with the length of the body signed too: an escape more makes up for it', async () => {
    const send = aSend({ fields: Object.entries({ ...EVENT, eventType: 'ADDs' }) });
    const body = 'sourceID=USER&eventType=ADD&s=&userObject=hello';
    expect(body.length - send.body.length).toBe(2);
    expect(await codeOf({ ...send, body })).toBe('BAD_SIGNATURE');
    const escaped = aSend({ fields: Object.entries({ ...EVENT, eventType: 'ADDs', userObject: '{}' }) });
    const shorter = 'sourceID=USER&eventType=ADD&s=&userObject={}';
    const filled = `${shorter}${'&'.repeat(escaped.body.length - shorter.length)}`;
    expect(await codeOf({ ...escaped, body: filled })).toBe('OK');
    expect(events()).toEqual([['ADD', '{}']]);
  });

  it('the headers, among them an idempotency key: a key that must hold belongs into the field uuid', async () => {
    const send = aSend();
    expect(await codeOf({ ...send, headers: ['Idempotency-Key: one'] })).toBe('OK');
    expect(await codeOf({ ...send, headers: ['Idempotency-Key: two'] })).toBe('OK');
    expect(new Set(setting.broker.events.map(({ senderUuid }) => senderUuid))).toEqual(new Set(['one', 'two']));
    const keyed = aSend({ fields: [...Object.entries(EVENT), ['uuid', 'signed']] });
    expect(await codeOf({ ...keyed, headers: ['Idempotency-Key: three'] })).toBe('OK');
    expect(await codeOf({ ...keyed, headers: ['Idempotency-Key: four'] })).toBe('DUPLICATE');
  });

  it('the name of the application among those with one key: no two nodes may share a key', async () => {
    const send = aSend();
    expect(await codeOf({ ...send, target: send.target.replace('appId=A', 'appId=HmacSHA1') })).toBe('OK');
    expect(setting.broker.events.map(({ appId }) => appId)).toEqual(['HmacSHA1']);
  });
});

describe('the work of checking', () => {
  /** What one call costs; the test's own signing is not counted. */
  const workOf = async (fields: Record<string, string>, change: SendChange) => {
    const [url, init] = setting.request(fields, change);
    jest.mocked(crypto.createHmac).mockClear();
    jest.mocked(crypto.timingSafeEqual).mockClear();
    const { refreshes } = setting.registry;
    const { data } = (await (await fetch(url, init)).json()) as { data: Record<string, unknown> };
    return {
      code: data['code'],
      hmacs: jest.mocked(crypto.createHmac).mock.calls.length,
      comparisons: jest.mocked(crypto.timingSafeEqual).mock.calls.length,
      looks: setting.registry.refreshes - refreshes,
    };
  };
  const wrong = { key: Buffer.from('a key that is not his').toString('base64') };

  it('is the same for an unknown, a disabled and a known application with a wrong signature', async () => {
    await begin({ revealUnknownApp: false });
    const refused = { code: 'BAD_SIGNATURE', hmacs: 2, comparisons: 2, looks: 1 };
    expect(await workOf(EVENT, { ...wrong, appId: 'A' })).toEqual(refused);
    expect(await workOf(EVENT, { ...wrong, appId: 'NOBODY' })).toEqual(refused);
    expect(await workOf(EVENT, { ...wrong, appId: 'OFF' })).toEqual(refused);
  });

  it('compares in constant time, never text with text, and a right signature too', async () => {
    expect(await workOf(EVENT, {})).toEqual({ code: 'OK', hmacs: 1, comparisons: 1, looks: 0 });
    const [given] = jest.mocked(crypto.timingSafeEqual).mock.calls[0] ?? [];
    expect((given as Buffer).length).toBe(40);
  });
});

describe('a key that was rotated', () => {
  it('is good beside the new one until its grace is over, to the millisecond, and then only the new one is', async () => {
    await setting.stop();
    const previousKeys = [{ key: VECTOR_KEY, expiresAt: VECTOR_TS + 1_000 }];
    setting = await new SendingSetting({
      ...registered,
      nodes: [aNode('A', { appKey: OTHER_KEY, previousKeys })],
    }).start();
    const codes = async () =>
      Promise.all([VECTOR_KEY, OTHER_KEY].map(async (key) => (await setting.send(EVENT, { key })).data['code']));
    expect(await codes()).toEqual(['OK', 'OK']);
    setting.clock.time += 999;
    expect(await codes()).toEqual(['OK', 'OK']);
    setting.clock.time += 1;
    expect(await codes()).toEqual(['BAD_SIGNATURE', 'OK']);
  });
});

describe('a replay of a signed send with ingest.refuseReplays', () => {
  beforeEach(() => begin({ refuseReplays: true }));

  it('is refused as long as its timestamp is good, in whatever way its unsigned parts were changed', async () => {
    const send = aSend();
    expect(await codeOf(send)).toBe('OK');
    expect(await codeOf(send)).toBe('SIGNATURE_USED');
    expect(await codeOf({ ...send, target: `${send.target}&vanishes=` })).toBe('SIGNATURE_USED');
    expect(await codeOf({ ...send, headers: ['Idempotency-Key: another'] })).toBe('SIGNATURE_USED');
    expect(await codeOf({ ...send, sign: '', target: `${send.target}&sign=${send.sign}` })).toBe('SIGNATURE_USED');
    setting.clock.time += SKEW_MS;
    expect(await codeOf(send)).toBe('SIGNATURE_USED');
    setting.clock.time += 1;
    expect(await codeOf(send)).toBe('TIMESTAMP_EXPIRED');
    expect(setting.broker.messages).toHaveLength(1);
  });

  it('with a timestamp in the future is refused as long as that is good', async () => {
    const ts = VECTOR_TS + SKEW_MS;
    const send = aSend({ query: `appId=A&ts=${String(ts)}` });
    expect(await codeOf(send)).toBe('OK');
    setting.clock.time = ts + SKEW_MS;
    expect(await codeOf(send)).toBe('SIGNATURE_USED');
    expect(setting.broker.messages).toHaveLength(1);
  });

  it('is let through without the option, which is the default', async () => {
    await begin();
    const send = aSend();
    expect([await codeOf(send), await codeOf(send)]).toEqual(['OK', 'OK']);
    expect(setting.broker.messages).toHaveLength(2);
  });
});
