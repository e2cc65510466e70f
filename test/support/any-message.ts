import fc from 'fast-check';
import type { WireMessage } from '../../src/broker/message-format.js';
import type { EventMessage, Outcome } from '../../src/core/model.js';

const whole = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
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
    acceptedAt: whole,
    deliverAt: fc.option(whole),
    registryVersion: whole,
  }),
  chain: fc.option(
    fc.record({
      nodeCode: name,
      generation: fc.integer({ min: 1 }),
      sequence: fc.nat(),
      targets: fc.option(fc.array(fc.uuid())),
      settled: fc.array(fc.uuid()),
      listenerId: fc.option(fc.uuid()),
      attempt: fc.integer({ min: 1 }),
      attemptsBefore: fc.dictionary(fc.uuid(), fc.nat()),
      dueAt: fc.option(whole),
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
  operIndex: fc.integer(),
  generation: fc.integer({ min: 1 }),
  sequence: fc.nat(),
  attempt: fc.nat(),
  called: fc.boolean(),
  state: fc.constantFrom('pending', 'retrying', 'succeeded', 'failed', 'skipped', 'cancelled'),
  reason: fc.option(
    fc.constantFrom('listener-disabled', 'chain-stopped', 'circuit-open', 'exhausted', 'gone', 'dead-lettered'),
  ),
  startedAt: whole,
  durationMs: fc.nat(),
  status: fc.option(fc.integer()),
  error: fc.option(fc.string({ unit: 'binary' })),
  response: fc.option(fc.string({ unit: 'grapheme' })),
  nextAttemptAt: fc.option(whole),
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
