import type { ChainPosition, Event, EventMessage, Outcome } from '../../src/core/model.js';
import { uuidV7 } from '../../src/core/ids.js';

export function anEvent(more: Partial<Event> = {}): Event {
  return {
    eventId: uuidV7(),
    appId: 'SENDER',
    eventTypeId: '11111111-1111-4111-8111-111111111111',
    sourceId: 'ORDER',
    eventType: 'CREATED',
    tenantCode: null,
    userObject: Buffer.from('{"n":1}'),
    senderUuid: null,
    traceparent: null,
    acceptedAt: Date.now(),
    deliverAt: null,
    registryVersion: 1,
    ...more,
  };
}

export function aMessage(event: Partial<Event> = {}, more: Partial<EventMessage> = {}): EventMessage {
  return { event: anEvent(event), chain: null, claimSteps: false, ...more };
}

export function aChain(more: Partial<ChainPosition> = {}): ChainPosition {
  return {
    nodeCode: 'A',
    generation: 1,
    sequence: 1,
    targets: null,
    settled: [],
    listenerId: null,
    attempt: 2,
    attemptsBefore: {},
    dueAt: null,
    ...more,
  };
}

export function anOutcome(more: Partial<Outcome> = {}): Outcome {
  return {
    outcomeId: uuidV7(),
    eventId: uuidV7(),
    listenerId: uuidV7(),
    nodeCode: 'A',
    operIndex: 1,
    generation: 1,
    sequence: 0,
    attempt: 1,
    called: true,
    state: 'succeeded',
    reason: null,
    startedAt: Date.now(),
    durationMs: 3,
    status: 200,
    error: null,
    response: null,
    nextAttemptAt: null,
    ...more,
  };
}
