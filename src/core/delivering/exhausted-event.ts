import { uuidV5 } from '../ids.js';
import { BUILT_IN_NODE_CODE, DELIVERY_EXHAUSTED, type EventMessage, type Event, type Outcome } from '../model.js';
import type { RegistrySnapshot } from '../registry/registry.js';

/** What of an event its announcement takes over. */
export type FailedEvent = Pick<Event, 'sourceId' | 'tenantCode' | 'traceparent'>;

/** Whether anybody listens to the announcements of failures. */
export function isExhaustionListenedTo(snapshot: RegistrySnapshot): boolean {
  const eventType = snapshot.eventTypeByCode(BUILT_IN_NODE_CODE, DELIVERY_EXHAUSTED);
  if (eventType === null) return false;
  return snapshot.data.revisions.some(
    ({ eventTypeId, toVersion }) => eventTypeId === eventType.id && toVersion === null,
  );
}

/**
 * The built-in event that announces a delivery which failed for good, or null: deliveries of built-in events cause
 * none, and without a listener to it there is nobody to tell (protocol page, section 4). Its id follows from the
 * delivery and generation, so that a repeat after a crash is the same event; its steps are claimed for the same reason.
 */
export function exhaustedEvent(
  event: FailedEvent,
  outcome: Outcome,
  context: { snapshot: RegistrySnapshot; now: number },
): EventMessage | null {
  if (event.sourceId === BUILT_IN_NODE_CODE || !isExhaustionListenedTo(context.snapshot)) return null;
  const eventType = context.snapshot.eventTypeByCode(BUILT_IN_NODE_CODE, DELIVERY_EXHAUSTED);
  if (eventType === null) return null;
  const payload = {
    eventId: outcome.eventId,
    listenerId: outcome.listenerId,
    nodeCode: outcome.nodeCode,
    attempts: outcome.attempt,
    lastStatus: outcome.status,
    lastError: outcome.error,
  };
  return {
    event: {
      eventId: uuidV5(DELIVERY_EXHAUSTED, outcome.eventId, outcome.listenerId, String(outcome.generation)),
      appId: BUILT_IN_NODE_CODE,
      eventTypeId: eventType.id,
      sourceId: BUILT_IN_NODE_CODE,
      eventType: DELIVERY_EXHAUSTED,
      tenantCode: event.tenantCode,
      userObject: Buffer.from(JSON.stringify(payload)),
      senderUuid: null,
      traceparent: event.traceparent,
      acceptedAt: context.now,
      deliverAt: null,
      registryVersion: context.snapshot.version,
    },
    chain: null,
    claimSteps: true,
  };
}
