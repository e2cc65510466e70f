import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { EventCenterError } from '../../src/core/errors.js';
import { parseForm, parseJsonFields, readFields } from '../../src/http/sending/body-fields.js';
import { aNode, anEventType, VECTOR_TS } from '../support/accepting.js';
import { parseRaw, SEND_PATH, SendingSetting } from '../support/sending.js';

describe('the form parser', () => {
  const token = fc.constantFrom(
    'a',
    'b=',
    '=',
    '&',
    '&&',
    '+',
    '%20',
    '%2B',
    '%26',
    '%E6%B5%8B',
    '%F0%9F%98%80',
    '测',
    '😀',
    'x=1',
    '%',
    '%2',
    '%zz',
    '%ff',
    '%E6',
    '%B5%8B',
    '%00',
  );

  it('reads what URLSearchParams reads, or refuses what that repairs', () => {
    fc.assert(
      fc.property(
        fc.array(token, { maxLength: 20 }).map((tokens) => tokens.join('')),
        (text) => {
          const expected = [...new URLSearchParams(text.startsWith('?') ? `&${text}` : text)];
          const runs = text.match(/(?:%[0-9a-fA-F]{2})+/g) ?? [];
          const isMalformed =
            /%(?![0-9a-fA-F]{2})/.test(text) ||
            runs.some((run) => !isUtf8(Buffer.from(run.replaceAll('%', ''), 'hex')));
          if (isMalformed)
            expect(() => parseForm(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'INVALID_PARAM' }));
          else expect(parseForm(Buffer.from(text))).toEqual(expected);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('reads back what URLSearchParams writes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }))), (fields) => {
        expect(parseForm(Buffer.from(new URLSearchParams(fields).toString()))).toEqual(fields);
      }),
    );
  });
});

describe('the JSON parser', () => {
  it('reads every flat object of strings', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })),
        fc.boolean(),
        (object, isPretty) => {
          expect(parseJsonFields(Buffer.from(JSON.stringify(object, null, isPretty ? 2 : 0)))).toEqual(
            Object.entries(object),
          );
        },
      ),
    );
  });

  it('refuses every object in which a name stands twice', () => {
    const member = fc.tuple(fc.string(), fc.string({ unit: fc.constantFrom('"', '\\', '{', ':', 'x') }));
    fc.assert(
      fc.property(
        fc.array(member, { minLength: 1, maxLength: 5 }),
        fc.nat(),
        fc.jsonValue(),
        (members, pick, value) => {
          const again = members[pick % members.length] as [string, string];
          const all: [string, unknown][] = [[again[0], value], ...members];
          const text = `{${all.map(([name, each]) => `${JSON.stringify(name)}:${JSON.stringify(each)}`).join(',')}}`;
          expect(() => parseJsonFields(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'INVALID_PARAM' }));
        },
      ),
    );
  });

  it('refuses every other JSON, and never breaks', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        let value: unknown;
        try {
          value = JSON.parse(text);
        } catch {
          value = undefined;
        }
        const isFlat =
          typeof value === 'object' &&
          value !== null &&
          !Array.isArray(value) &&
          Object.values(value).every((member) => typeof member === 'string');
        if (!isFlat) expect(() => parseJsonFields(Buffer.from(text))).toThrow(EventCenterError);
      }),
    );
  });
});

describe('any body', () => {
  it('is read or refused as INVALID_PARAM', () => {
    const contentType = fc.oneof(
      fc.constantFrom(undefined, 'application/json', 'application/x-www-form-urlencoded', 'application/json; charset='),
      fc.string(),
    );
    fc.assert(
      fc.property(contentType, fc.uint8Array({ maxLength: 60 }), (type, bytes) => {
        try {
          readFields(type, Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_PARAM' });
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('any request', () => {
  let setting: SendingSetting;
  beforeAll(async () => {
    setting = await new SendingSetting({ nodes: [aNode('A')], eventTypes: [anEventType('USER', 'ADD')] }).start();
  });
  afterAll(() => setting.stop());

  it('is answered in the form of the protocol, and nothing breaks', async () => {
    const piece = fc.constantFrom(
      'appId=A',
      'appId',
      'ts=',
      `ts=${VECTOR_TS}`,
      'ts=-1',
      'sign=%',
      '&',
      '=',
      '%E6',
      '__proto__=1',
      'sourceID=x',
      'username=%00',
    );
    const query = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('&'));
    const headers = fc.record(
      {
        'Content-Type': fc.constantFrom(
          'application/json',
          'application/x-www-form-urlencoded',
          ';;;',
          'application/json;charset',
        ),
        sign: fc.constantFrom('', 'x', '0'.repeat(40), '\u00e9'.repeat(40)),
        appId: fc.constantFrom('', 'A', '__proto__', 'constructor'),
        traceparent: fc.constantFrom('', '00-x'),
        'Idempotency-Key': fc.constantFrom('', 'k'.repeat(2000)),
      },
      { requiredKeys: [] },
    );
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.string().map((text) => Buffer.from(text)),
      fc.json().map((text) => Buffer.from(text)),
    );
    const path = fc.constantFrom(
      SEND_PATH,
      `${SEND_PATH}/`,
      '/event/eventmanager/eventinfo/index.do',
      '/event/eventmanager/__proto__',
    );
    const method = fc.constantFrom('POST', 'POST', 'GET', 'PUT');
    await fc.assert(
      fc.asyncProperty(fc.tuple(method, path, query, headers), body, async ([verb, target, search, more], bytes) => {
        const lines = Object.entries(more).map(([name, value]) => `${name}: ${value}\r\n`);
        const head = `${verb} ${target}?${search} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ${bytes.length}\r\n${lines.join('')}\r\n`;
        const answer = parseRaw(await setting.raw(Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(bytes)])));
        expect([200, 404, 405]).toContain(answer.status);
        expect(answer.data).toMatchObject({ status: 0, code: expect.any(String), msg: answer.data['message'] });
      }),
      { numRuns: 300 },
    );
    expect(setting.log.lines.filter((line) => line.level === 'error')).toEqual([]);
    expect(setting.broker.messages).toEqual([]);
  });
});
