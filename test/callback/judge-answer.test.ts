import fc from 'fast-check';
import { judgeAnswer } from '../../src/callback/judge-answer.js';
import { retryAfterMs } from '../../src/callback/retry-after.js';

function judged(body: string | Buffer, over: { status?: number; contentType?: string; retryAfter?: string } = {}) {
  return judgeAnswer(
    {
      kind: 'complete',
      status: over.status ?? 200,
      contentType: over.contentType ?? 'application/json',
      retryAfter: over.retryAfter ?? null,
      body: Buffer.from(body as string),
    },
    0,
  );
}

describe('the success rule', () => {
  it.each([
    '{"success":"true"}',
    '{"success":true}',
    '{"success":"TRUE"}',
    '{"success":"True","other":1}',
    '{"data":{"success":"true"}}',
    '{"data":{"success":true,"msg":"x"}}',
    '\uFEFF{"success":"true"}',
    '  {"success":"true"}\r\n',
    '{"success":null,"data":{"success":true}}',
  ])('takes %s as a success', (body) => {
    expect(judged(body)).toMatchObject({ kind: 'success', error: null });
  });

  it.each([
    '',
    'true',
    '"true"',
    'null',
    '[]',
    '{"success":"false"}',
    '{"success":false,"data":{"success":true}}',
    '{"success":1}',
    '{"success":"yes"}',
    '{"success":["true"]}',
    '{"success":{"success":true}}',
    '{"Success":"true"}',
    '{"data":"{\\"success\\":true}"}',
    '{"data":{"data":{"success":true}}}',
    '{"__proto__":{"success":true}}',
    '{"data":{"__proto__":{"success":"true"}}}',
    '{"constructor":{"success":"true"}}',
    '<html>success: true</html>',
    '{"success":"true"',
    '{"success":"true"}{"success":"true"}',
    '['.repeat(30_000),
    '{"data":'.repeat(8_000),
  ])('takes %s as a refusal, with a reason', (body) => {
    const judgement = judged(body);
    expect(judgement.kind).toBe('refused');
    expect(judgement.error).toEqual(expect.any(String));
  });

  it.each([199, 300, 302, 400, 404, 500, 503, 999])('refuses status %i whatever the body says', (status) => {
    expect(judged('{"success":"true"}', { status })).toMatchObject({ kind: 'refused', status });
  });

  it('reads the charset that the answer names, and UTF-8 for one that nobody knows', () => {
    const utf16 = Buffer.from('{"success":"true"}', 'utf16le');
    expect(judged(utf16, { contentType: 'application/json; charset=utf-16le' }).kind).toBe('success');
    expect(judged('{"success":"true"}', { contentType: 'text/json;charset="GBK"' }).kind).toBe('success');
    expect(judged('{"success":"true"}', { contentType: 'text/json;charset=klingon' }).kind).toBe('success');
  });

  it('keeps the beginning of a long answer, without half a character', () => {
    const { response } = judged(`${'x'.repeat(4095)}测试`, { status: 500 });
    expect(response).toBe('x'.repeat(4095));
  });

  it('says nothing about what an unreachable listener answered', () => {
    const judgement = judgeAnswer({ kind: 'incomplete', status: null, error: 'connect ECONNREFUSED' }, 0);
    expect(judgement).toEqual({
      kind: 'unreachable',
      status: null,
      error: 'connect ECONNREFUSED',
      response: null,
      retryAfterMs: null,
    });
  });

  it('makes an answer of any bytes, and a success only of what parses to one', () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
    const json = fc.json().map((text) => Buffer.from(text));
    fc.assert(
      fc.property(
        fc.oneof(bytes, json),
        fc.integer({ min: 100, max: 599 }),
        fc.string(),
        (body, status, contentType) => {
          const judgement = judged(body, { status, contentType });
          expect(['success', 'refused']).toContain(judgement.kind);
          expect(judgement.error === null).toBe(judgement.kind === 'success');
          if (judgement.kind === 'success') expect(status >= 200 && status < 300).toBe(true);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('Retry-After', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');

  it.each([
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['Thursday, 01-Jan-26 00:01:00 GMT', 60_000],
    ['Thu Jan  1 00:01:00 2026', 60_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
  ])('reads %s', (header, expected) => {
    expect(retryAfterMs(header, now)).toBe(expected);
  });

  it.each([null, '', '-1', '1.5', 'soon', '2026-01-01', 'Thu, nonsense', '9'.repeat(40)])(
    'passes over %s',
    (header) => {
      expect(retryAfterMs(header, now)).toBeNull();
    },
  );

  it('is read from refusals only', () => {
    expect(judged('', { status: 503, retryAfter: '3' }).retryAfterMs).toBe(3_000);
    expect(judged('{"success":true}', { retryAfter: '3' }).retryAfterMs).toBeNull();
  });
});
