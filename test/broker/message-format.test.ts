import * as fc from 'fast-check';
import { decodeDead, encodeDead } from '../../src/broker/dead-format.js';
import {
  decodeEvent,
  decodeOutcomes,
  encodeEvent,
  encodeOutcomes,
  LARGEST_COUNT,
} from '../../src/broker/message-format.js';
import { LATEST_TIME, type Outcome } from '../../src/core/model.js';
import { anyWire, bytes, message, outcome } from '../support/any-message.js';
import { aChain, aMessage, anOutcome } from '../support/messages.js';

describe('the message format', () => {
  it('reads every event message as it was written', () => {
    fc.assert(
      fc.property(message, (original) => {
        expect(decodeEvent(encodeEvent(original))).toEqual({ ok: true, message: original });
      }),
    );
  });

  it('reads every batch of outcomes as it was written', () => {
    fc.assert(
      fc.property(fc.array(outcome), (original) => {
        expect(decodeOutcomes(encodeOutcomes(original))).toEqual({ ok: true, message: original });
      }),
    );
  });

  it('sends the payload itself as the body, not a copy', () => {
    const original = aMessage();
    expect(encodeEvent(original).body).toBe(original.event.userObject);
  });

  it('keeps headers below what amqplib can send, however long a chain is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4000 }), fc.option(bytes), (length, userObject) => {
        const settled = Array.from({ length }, () => '00000000-0000-4000-8000-000000000000');
        const original = aMessage({ userObject }, { chain: aChain({ settled }) });
        const wire = encodeEvent(original);
        expect(Buffer.byteLength(String(wire.headers['ec']))).toBeLessThanOrEqual(32 * 1024);
        expect(decodeEvent(wire)).toEqual({ ok: true, message: original });
      }),
      { numRuns: 30 },
    );
  });

  it('refuses anything else with a reason, and never throws', () => {
    fc.assert(
      fc.property(anyWire, (wire) => {
        for (const decoded of [decodeEvent(wire), decodeOutcomes(wire)]) {
          if (!decoded.ok) expect(decoded.reason).toMatch(/\S/);
        }
        expect(decodeDead(wire, { reason: 'why', queue: null }).raw).toBe(wire.body);
      }),
      { numRuns: 1000 },
    );
  });

  it('names what is wrong without a value of the message', () => {
    const wire = encodeEvent(aMessage({}, { chain: aChain() }));
    const meta = JSON.parse(String(wire.headers['ec'])) as { chain: { gen: unknown } };
    meta.chain.gen = 'secret';
    const decoded = decodeEvent({ ...wire, headers: { ec: JSON.stringify(meta) } });
    expect(decoded).toEqual({ ok: false, reason: expect.stringMatching(/^ec\.chain\.gen: (?!.*secret)/) });
  });

  it.each(['at', 'due', 'chain.due'])('takes the time %s only if it is a date', (path) => {
    const { body, headers } = encodeEvent(aMessage({ deliverAt: 1 }, { chain: aChain({ dueAt: 1 }) }));
    const read = (time: number): boolean => {
      const meta = JSON.parse(String(headers['ec'])) as Record<string, object>;
      const [name, within] = path.split('.').reverse() as [string, string?];
      Object.assign(within === undefined ? meta : meta[within]!, { [name]: time });
      return decodeEvent({ body, headers: { ec: JSON.stringify(meta) } }).ok;
    };
    expect([0, LATEST_TIME].map(read)).toEqual([true, true]);
    expect([-1, LATEST_TIME + 1, 2 ** 53 - 1, 1 - 2 ** 53].filter(read)).toEqual([]);
  });

  it.each<[keyof Outcome, number]>([
    ['startedAt', LATEST_TIME],
    ['nextAttemptAt', LATEST_TIME],
    ['durationMs', 2 ** 31 - 1],
    ['operIndex', 2 ** 31 - 1],
    ['status', 2 ** 31 - 1],
    ['generation', 2e9],
    ['sequence', 2e9],
    ['attempt', 2e9],
  ])('takes %s of an outcome up to %d, which the store can keep', (field, most) => {
    const read = (value: number) => decodeOutcomes(encodeOutcomes([anOutcome({ [field]: value })])).ok;
    expect([most, most + 1, 2 ** 53 - 1, 1 - 2 ** 53].map(read)).toEqual([true, false, false, false]);
  });

  it.each(['gen', 'seq', 'attempt'])('takes %s of a chain up to a count with room for outcomes', (name) => {
    const { body, headers } = encodeEvent(aMessage({}, { chain: aChain() }));
    const read = (value: number): boolean => {
      const meta = JSON.parse(String(headers['ec'])) as { chain: object };
      Object.assign(meta.chain, { [name]: value });
      return decodeEvent({ body, headers: { ec: JSON.stringify(meta) } }).ok;
    };
    expect([LARGEST_COUNT, LARGEST_COUNT + 1].map(read)).toEqual([true, false]);
  });

  it('takes a batch of up to 10,000 outcomes', () => {
    const batch = (length: number) => decodeOutcomes(encodeOutcomes(Array.from({ length }, () => anOutcome())));
    expect(batch(10_000).ok).toBe(true);
    expect(batch(10_001)).toEqual({ ok: false, reason: 'expected at most 10000 outcomes, found 10001' });
  });

  it('reads messages with fields that it does not know', () => {
    const original = aMessage();
    const { body, headers } = encodeEvent(original);
    const meta = { ...(JSON.parse(String(headers['ec'])) as object), later: { added: true } };
    expect(decodeEvent({ body, headers: { ec: JSON.stringify(meta), other: 1 } })).toEqual({
      ok: true,
      message: original,
    });
    const outcomes = [anOutcome()];
    const withMore = Buffer.from(JSON.stringify(outcomes.map((one) => ({ ...one, later: 1 }))));
    expect(decodeOutcomes({ ...encodeOutcomes([]), body: withMore })).toEqual({ ok: true, message: outcomes });
  });

  it('keeps reason, queue and bytes of anything that is moved to the dead queue, also twice', () => {
    const death = { reason: 'why', queue: 'q' };
    fc.assert(
      fc.property(anyWire, (wire) => {
        const once = encodeDead(wire, { reason: 'first', queue: 'p' });
        const twice = encodeDead(once, death);
        const dead = decodeDead(twice, { reason: 'other', queue: null });
        expect(dead).toMatchObject(death);
        expect(dead.raw).toBe(wire.body);
        expect(dead.rawHeaders).toBe(decodeDead(once, death).rawHeaders);
      }),
    );
  });

  it('moves a message to the dead queue whatever the size of its headers', () => {
    const wire = { body: Buffer.alloc(0), headers: { ec: 'x'.repeat(60_000), other: 'ü'.repeat(60_000) } };
    const size = Buffer.byteLength(JSON.stringify(encodeDead(wire, { reason: 'r'.repeat(9999), queue: null }).headers));
    expect(size).toBeLessThan(60_000);
  });

  it('keeps an event readable in the dead queue', () => {
    const original = aMessage({}, { chain: aChain() });
    const dead = decodeDead(encodeDead(encodeEvent(original), { reason: 'why', queue: 'q' }), {
      reason: '',
      queue: null,
    });
    expect(dead.message).toEqual(original);
  });
});
