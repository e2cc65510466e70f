import fc from 'fast-check';
import { decodeDead, encodeDead } from '../../src/broker/dead-format.js';
import {
  decodeEvent,
  decodeOutcomes,
  encodeEvent,
  encodeOutcomes,
  MAX_META_BYTES,
  type WireMessage,
} from '../../src/broker/message-format.js';
import { anyWire, bytes, message, outcome } from '../support/any-message.js';
import { fuzzIt } from '../support/fuzzing.js';
import { mutated, mutatedJson } from '../support/mutations.js';

/** A message of ours after somebody had his hands on it: its header, its body, or both. */
const tampered: fc.Arbitrary<WireMessage> = fc
  .tuple(message.map(encodeEvent), fc.constantFrom('meta', 'header', 'body', 'front'), fc.infiniteStream(fc.nat()))
  .map(([wire, where, dice]) => {
    const header = String(wire.headers['ec']);
    switch (where) {
      case 'meta':
        return { body: wire.body, headers: { ec: mutatedJson(header, dice) } };
      case 'header':
        return { body: wire.body, headers: { ec: mutated(Buffer.from(header), dice).toString('utf8') } };
      case 'body':
        return { body: mutated(wire.body, dice), headers: wire.headers };
      case 'front':
        return inFront(wire, dice);
    }
  });

/** The meta text in front of the body, as for long ones, with an announced length that may be wrong. */
function inFront({ body, headers }: WireMessage, dice: Iterator<number>): WireMessage {
  const front = Buffer.from(String(headers['ec']));
  const off = [0, 0, 1, -1, body.length, body.length + 1, 2 ** 31, -front.length][dice.next().value % 8] as number;
  return {
    body: Buffer.concat([front, body]),
    headers: { ec: JSON.stringify({ v: 1, metaBytes: front.length + off }) },
  };
}

/** What a message of the queue must be, by hand: an own reading of the layout, apart from the decoder's. */
function isEventMessage({ body, headers }: WireMessage): boolean {
  const envelope = jsonOf(headers['ec']);
  if (!isRecord(envelope) || envelope['v'] !== 1) return false;
  const { metaBytes } = envelope;
  if (metaBytes === undefined) return isMeta(envelope, body.length);
  if (!isBytes(metaBytes) || metaBytes > body.length) return false;
  return isMeta(jsonOf(body.toString('utf8', 0, metaBytes)), body.length - metaBytes);
}

function isMeta(meta: unknown, bodyLength: number): boolean {
  if (!isRecord(meta)) return false;
  const { id, app, type, source, code, tenant, key, trace, at, due, ver, nobody, claim, chain } = meta;
  const texts = [app, source, code].every(isText) && [tenant, key, trace].every((one) => isAbsentOr(one, isText));
  const numbers = isTime(at) && isBytes(ver) && isAbsentOr(due, isTime);
  const flags = [nobody, claim].every((one) => one === undefined || one === true);
  const isEmpty = nobody !== true || bodyLength === 0;
  return [id, type].every(isName) && texts && numbers && flags && isEmpty && isAbsentOr(chain, isChain);
}

function isChain(chain: unknown): boolean {
  if (!isRecord(chain)) return false;
  const { node, gen, seq, targets, settled, listener, attempt, before, due } = chain;
  const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
  // The name of a prototype is no name: it is left out, whatever it holds.
  const isCounts = (value: unknown): boolean =>
    isRecord(value) && Object.entries(value).every(([name, one]) => name === '__proto__' || isCount(one));
  return (
    isName(node) &&
    [gen, attempt].every((one) => isCount(one) && one >= 1) &&
    isCount(seq) &&
    isTexts(settled) &&
    isAbsentOr(targets, isTexts) &&
    isAbsentOr(listener, isText) &&
    isAbsentOr(before, isCounts) &&
    isAbsentOr(due, isTime)
  );
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isName = (value: unknown): boolean => isText(value) && value !== '';
const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);
const isBytes = (value: unknown): value is number => isWhole(value) && value >= 0;
const isCount = (value: unknown): value is number => isBytes(value) && value <= 1e9;
const isTime = (value: unknown): boolean => isBytes(value) && value <= Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isAbsentOr = (value: unknown, is: (value: unknown) => boolean): boolean => value === undefined || is(value);

function jsonOf(text: unknown): unknown {
  try {
    return JSON.parse(text as string);
  } catch {
    return undefined;
  }
}

/** Whatever is read is a message that can be written again, and is read the same then. */
function expectReadAsAMessage(wire: WireMessage): void {
  const decoded = decodeEvent(wire);
  expect(decoded.ok).toBe(isEventMessage(wire));
  if (decoded.ok) expect(decodeEvent(encodeEvent(decoded.message))).toEqual(decoded);
  else expect(decoded.reason).toMatch(/\S/);
}

describe('the decoder of queue messages', () => {
  fuzzIt('reads every event message as it was written', message, (original) => {
    expect(decodeEvent(encodeEvent(original))).toEqual({ ok: true, message: original });
  });

  fuzzIt('reads what is an event message, and refuses all else with a reason', anyWire, expectReadAsAMessage);

  fuzzIt('takes a message that was changed only if it is still one', tampered, expectReadAsAMessage);

  fuzzIt(
    'reads every batch of outcomes as it was written, and a changed one only if it is still one',
    fc.tuple(fc.array(outcome, { maxLength: 3 }), fc.infiniteStream(fc.nat())),
    ([original, dice]) => {
      const wire = encodeOutcomes(original);
      expect(decodeOutcomes(wire)).toEqual({ ok: true, message: original });
      const changed = { ...wire, body: Buffer.from(mutatedJson(wire.body.toString(), dice)) };
      const decoded = decodeOutcomes(changed);
      if (decoded.ok) expect(decodeOutcomes(encodeOutcomes(decoded.message))).toEqual(decoded);
      else expect(decoded.reason).toMatch(/\S/);
    },
  );

  fuzzIt('reads outcomes out of any bytes, or gives a reason', anyWire, (wire) => {
    const decoded = decodeOutcomes({ ...wire, headers: { ec: '{"v":1}' } });
    if (decoded.ok) expect(jsonOf(wire.body.toString())).toEqual(expect.any(Array));
    else expect(decoded.reason).toMatch(/\S/);
  });

  fuzzIt(
    'keeps whatever came dead: its bytes, why, from where, and its event if there is one',
    fc.tuple(fc.oneof(anyWire, tampered), fc.string(), fc.option(fc.string())),
    ([wire, reason, queue]) => {
      const moved = encodeDead(wire, { reason, queue });
      expect(moved.body).toBe(wire.body);
      for (const value of Object.values(moved.headers)) {
        expect(Buffer.byteLength(value as string)).toBeLessThanOrEqual(MAX_META_BYTES);
      }
      const dead = decodeDead(moved, { reason: 'another', queue: 'another' });
      const decoded = decodeEvent(wire);
      expect(dead).toMatchObject({ reason: reason.slice(0, 1000), raw: wire.body });
      expect(dead.queue).toBe(queue === null ? 'another' : queue.slice(0, 255));
      expect(dead.message).toEqual(decoded.ok ? decoded.message : null);
    },
  );

  fuzzIt('is not misled by names that objects inherit', fc.tuple(message, bytes), ([original, body]) => {
    const wire = encodeEvent(original);
    const meta = String(wire.headers['ec']).replace(/}$/, ',"__proto__":{"nobody":true,"claim":true},"constructor":1}');
    const decoded = decodeEvent({ body, headers: { ec: meta } });
    if (decoded.ok) expect(decoded.message.claimSteps).toBe(original.claimSteps);
    expect(({} as Record<string, unknown>)['claim']).toBeUndefined();
  });
});
