import fc from 'fast-check';
import { LARGEST_COUNT, type WireMessage } from '../../src/broker/message-format.js';
import { LATEST_TIME, type EventMessage, type Outcome } from '../../src/core/model.js';

const time = fc.integer({ min: 0, max: LATEST_TIME });
const count = fc.integer({ min: 0, max: LARGEST_COUNT });
const countFrom1 = fc.integer({ min: 1, max: LARGEST_COUNT });
const whole = fc.integer({ min: -(2 ** 31 - 1) });
const name = fc.string({ minLength: 1, unit: 'binary' });
/** Any bytes. */
export const bytes = fc.uint8Array().map((array) => Buffer.from(array));

/** Every event message that the centre can write. */
export const message: fc.Arbitrary<EventMessage> = fc.record({
  event: fc.record({
    eventId: name,
    appId: fc.string(),
    eventTypeId: name,
    sourceId: fc.string({ unit: 'binary' }),
    eventType: fc.string({ unit: 'grapheme' }),
    tenantCode: fc.option(fc.string()),
    userObject: fc.option(bytes),
    senderUuid: fc.option(fc.string({ unit: 'binary' })),
    traceparent: fc.option(fc.string()),
    acceptedAt: time,
    deliverAt: fc.option(time),
    registryVersion: fc.maxSafeNat(),
  }),
  chain: fc.option(
    fc.record({
      nodeCode: name,
      generation: countFrom1,
      sequence: count,
      targets: fc.option(fc.array(fc.uuid())),
      settled: fc.array(fc.uuid()),
      listenerId: fc.option(fc.uuid()),
      attempt: countFrom1,
      attemptsBefore: fc.dictionary(fc.uuid(), count),
      dueAt: fc.option(time),
    }),
  ),
  claimSteps: fc.boolean(),
});

/** Every outcome that the centre can write. */
export const outcome: fc.Arbitrary<Outcome> = fc.record({
  outcomeId: name,
  eventId: name,
  listenerId: name,
  nodeCode: name,
  operIndex: whole,
  generation: countFrom1,
  sequence: count,
  attempt: count,
  called: fc.boolean(),
  state: fc.constantFrom('pending', 'retrying', 'succeeded', 'failed', 'skipped', 'cancelled'),
  reason: fc.option(
    fc.constantFrom('listener-disabled', 'chain-stopped', 'circuit-open', 'exhausted', 'gone', 'dead-lettered'),
  ),
  startedAt: time,
  durationMs: fc.nat(),
  status: fc.option(whole),
  error: fc.option(fc.string({ unit: 'binary' })),
  response: fc.option(fc.string({ unit: 'grapheme' })),
  nextAttemptAt: fc.option(time),
});

/** Headers as a broker might hand them over, some of them almost right. */
export const anyWire: fc.Arbitrary<WireMessage> = fc.record({
  body: bytes,
  headers: fc.oneof(
    fc.dictionary(fc.string(), fc.anything()),
    fc.record({ ec: fc.oneof(fc.string(), fc.json(), bytes, fc.anything()) }),
    fc.record({
      ec: fc
        .dictionary(fc.constantFrom('v', 'id', 'chain', 'metaBytes', 'type'), fc.jsonValue())
        .map((meta) => JSON.stringify({ v: 1, ...meta })),
    }),
  ),
});
