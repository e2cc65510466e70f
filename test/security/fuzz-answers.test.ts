import fc from 'fast-check';
import { judgeAnswer } from '../../src/callback/judge-answer.js';
import { retryAfterMs } from '../../src/callback/retry-after.js';
import { formBody } from '../../src/callback/form-encoding.js';
import { iuapCall } from '../../src/callback/iuap-format.js';
import { bytes } from '../support/any-message.js';
import { fuzzIt } from '../support/fuzzing.js';
import { mutated } from '../support/mutations.js';
import { aListener, aNode, anEvent } from '../support/registry-fixtures.js';

const NOW = 1_800_000_000_000;
const KEPT_BYTES = 4096;

const status = fc.oneof(fc.integer({ min: 0, max: 999 }), fc.constantFrom(200, 201, 204, 299, 300, 199, 410, 500));
const charset = fc.constantFrom('utf-8', 'UTF8', 'gbk', 'utf-16le', 'iso-8859-1', 'nonsense', '"', '', '__proto__');
const contentType = fc.oneof(
  fc.constantFrom(null, 'application/json', 'text/html', ';charset', 'charset=charset='),
  charset.map((name) => `application/json; charset=${name}`),
  fc.string(),
);
const retryAfter = fc.oneof(
  fc.constantFrom(null, '', '0', '120', '-1', '1.5', '9'.repeat(15), '9'.repeat(400), 'Wed, 21 Oct 2026 07:28:00 GMT'),
  fc.date().map((date) => (Number.isNaN(date.getTime()) ? 'Invalid' : date.toUTCString())),
  fc.string(),
);
const truth = fc.constantFrom<unknown>(true, 'true', 'TRUE', 'True', 'tRuE');
const other = fc.oneof(
  fc.constantFrom<unknown>(false, 'false', 1, '1', 'yes', null, '', 'true ', {}, [true]),
  fc.anything(),
);
const json = fc
  .oneof(
    fc.record({ success: fc.oneof(truth, other) }),
    fc.record({ data: fc.record({ success: fc.oneof(truth, other) }) }),
    fc.record({ success: other, data: fc.record({ success: truth }) }),
    fc.record({ message: fc.string() }),
    fc.array(fc.record({ success: truth })),
    fc.constantFrom(
      JSON.parse('{"__proto__":{"success":true}}'),
      JSON.parse('{"data":{"__proto__":{"success":"true"}}}'),
    ),
  )
  .map((value) => Buffer.from(JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? 1 : one))));
const body = fc.oneof(
  bytes,
  json,
  json.map((one) => Buffer.concat([Buffer.from('\ufeff'), one])),
  json.map((one) => Buffer.concat([Buffer.alloc(KEPT_BYTES, ' '), one])),
  json.map((one) => Buffer.from(one.toString('utf8'), 'utf16le')),
  fc.tuple(json, fc.infiniteStream(fc.nat())).map(([one, dice]) => mutated(one, dice)),
);

/** The rule of the protocol page, section 3, told once more; for answers in UTF-8. */
function isSuccess(code: number, answer: Buffer): boolean {
  if (code < 200 || code > 299) return false;
  let value: unknown;
  try {
    value = JSON.parse(answer.toString('utf8').replace(/^\ufeff/, ''));
  } catch {
    return false;
  }
  const top = ownMember(value, 'success');
  const success = top === undefined || top === null ? ownMember(ownMember(value, 'data'), 'success') : top;
  return success === true || (typeof success === 'string' && /^true$/i.test(success));
}

function ownMember(value: unknown, name: string): unknown {
  const isObject = typeof value === 'object' && value !== null;
  return isObject ? Object.getOwnPropertyDescriptor(value, name)?.value : undefined;
}

describe('the judge of what listeners answer', () => {
  fuzzIt(
    'says success only of 2xx with JSON that says so, whatever was answered',
    fc.tuple(status, body, retryAfter),
    ([code, answer, header]) => {
      const found = judgeAnswer(
        { kind: 'complete', status: code, contentType: 'application/json', retryAfter: header, body: answer },
        NOW,
      );
      expect(found.kind).toBe(isSuccess(code, answer) ? 'success' : 'refused');
      expect(found.status).toBe(code);
      expect(found.error === null).toBe(found.kind === 'success');
      expect(found.response?.length ?? 0).toBeLessThanOrEqual(KEPT_BYTES);
      if (found.retryAfterMs !== null) expect(found.retryAfterMs).toBeGreaterThanOrEqual(0);
    },
  );

  fuzzIt(
    'breaks at no content type, no charset and no bytes',
    fc.tuple(status, contentType, body, retryAfter),
    ([code, type, answer, header]) => {
      const found = judgeAnswer(
        { kind: 'complete', status: code, contentType: type, retryAfter: header, body: answer },
        NOW,
      );
      if (found.kind === 'success') {
        expect(code >= 200 && code <= 299).toBe(true);
        expect(answer.toString('latin1').replaceAll('\0', '')).toMatch(/true|\\u/i);
      } else expect(found.error).toMatch(/^(answered \d+|the answer )/);
    },
  );

  fuzzIt('reads Retry-After as seconds or as a date, and never as less than nothing', retryAfter, (header) => {
    const ms = retryAfterMs(header, NOW);
    const given = header?.trim() ?? '';
    if (/^\d{1,15}$/.test(given)) expect(ms).toBe(Number(given) * 1000);
    else if (/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/.test(given))
      expect(ms).toBe(Math.max(0, Date.parse(given) - NOW));
    else if (ms !== null) expect([Number.isSafeInteger(ms), ms >= 0]).toEqual([true, true]);
  });
});

describe('a callback', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('a\r\nX-Evil: 1', 'a\nb', '\0', '\u0085', '\u2028', '測試', '\ud800', 'a: b', ' \t '),
  );
  const event = fc.record({
    sourceId: hostile,
    eventType: hostile,
    tenantCode: fc.option(hostile),
    senderUuid: fc.option(hostile),
    traceparent: fc.option(hostile),
    userObject: fc.option(
      fc.oneof(
        bytes,
        fc.json().map((one) => Buffer.from(one)),
      ),
    ),
  });

  fuzzIt(
    'has no header but its own, whatever the sender wrote',
    fc.tuple(event, fc.boolean()),
    ([more, fieldsAsHeaders]) => {
      const listener = aListener('11111111-1111-4111-8111-111111111111', { fieldsAsHeaders });
      const call = { event: anEvent('00000000-0000-4000-8000-000000000001', more), listener, attempt: 1 };
      const { headers, path } = iuapCall({ ...call, node: aNode('A', { clientKey: 'a2V5' }) }, '/l?x=1', NOW);
      expect(path).toMatch(/^\/l\?x=1&appId=A&ts=\d+$/);
      const names = headers.filter((_, index) => index % 2 === 0);
      const values = headers.filter((_, index) => index % 2 === 1);
      expect(new Set(names).size).toBe(names.length);
      const allowed =
        /^(content-type|accept|x-event-(id|attempt|listener|sender-uuid)|traceparent|sign|sourceID|eventType|tenantCode|userObject)$/;
      expect(names.filter((name) => !allowed.test(name))).toEqual([]);
      expect(values.filter((value) => !/^[\x20-\x7e]*$/.test(value))).toEqual([]);
    },
  );

  fuzzIt(
    'has a body that every reader of forms reads as it was sent',
    fc.array(fc.tuple(hostile, hostile), { maxLength: 5 }),
    (fields) => {
      const written = formBody(fields).toString('latin1');
      expect(written).toMatch(/^[A-Za-z0-9.\-*_+%=&]*$/);
      const wellFormed = fields.map(([name, value]) => [name, value].map((one) => Buffer.from(one).toString('utf8')));
      expect([...new URLSearchParams(written)]).toEqual(
        wellFormed.filter(([name, value]) => name !== '' || value !== '' || true),
      );
    },
  );
});
