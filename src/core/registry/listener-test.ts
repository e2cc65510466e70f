import { appendAudit } from '../access/audit.js';
import { EventCenterError } from '../errors.js';
import { uuidV7 } from '../ids.js';
import { BUILT_IN_NODE_CODE, OWNER_ALL, type Event } from '../model.js';
import type { Actor, AuditStore, Clock, ListenerAnswer, ListenerCaller, Log } from '../ports.js';
import { noSuchListener } from './listener-admin.js';
import type { RegistryView } from './registry.js';

export interface ListenerTestDeps {
  registry: Pick<RegistryView, 'refreshed'>;
  caller: Pick<ListenerCaller, 'call'>;
  testPlaces: TestPlaces;
  audit: AuditStore;
  clock: Clock;
  log: Log;
}

const MOST_OF_LISTENER = 4;
const MOST_OF_PROCESS = 32;

/** Bounds the tests that run at a time: they share the connections to an origin with the deliveries of all nodes. */
export class TestPlaces {
  readonly #taken = new Map<string, number>();
  #all = 0;

  /** @throws RATE_LIMITED while there is none. */
  async within<Result>(listenerId: string, work: () => Promise<Result>): Promise<Result> {
    const taken = this.#taken.get(listenerId) ?? 0;
    if (taken >= MOST_OF_LISTENER) throw noPlace(`of a listener ${String(MOST_OF_LISTENER)}`);
    if (this.#all >= MOST_OF_PROCESS) throw noPlace(`in a process ${String(MOST_OF_PROCESS)}`);
    this.#taken.set(listenerId, taken + 1);
    this.#all += 1;
    try {
      return await work();
    } finally {
      this.#all -= 1;
      const left = (this.#taken.get(listenerId) ?? 1) - 1;
      if (left === 0) this.#taken.delete(listenerId);
      else this.#taken.set(listenerId, left);
    }
  }
}

function noPlace(rule: string): EventCenterError {
  return new EventCenterError('RATE_LIMITED', `${rule} tests may run at a time; wait until one has ended`);
}

/** The text of the sample and its tenant; null sends none. */
export interface Sample {
  userObject: string | null;
  tenantCode: string | null;
}

/**
 * Calls a listener once with a sample under a fresh event id, by the code and in the format of a real delivery, and
 * returns what came back. Nothing is recorded but an audit entry, and nothing is retried.
 * @throws NOT_FOUND; CONFLICT for a plugin, which only its own process can call; RATE_LIMITED when too many run.
 */
export async function testListener(
  deps: ListenerTestDeps,
  actor: Actor,
  request: { listenerId: string; sample: Sample },
): Promise<ListenerAnswer> {
  const { listenerId, sample } = request;
  const snapshot = await deps.registry.refreshed();
  const listener = snapshot.listener(listenerId);
  if (listener === null) throw noSuchListener(listenerId);
  if (listener.url === null) {
    throw new EventCenterError('CONFLICT', 'the listener is a plugin: only the process of its node can call it');
  }
  const node = snapshot.node(listener.nodeCode);
  const type = snapshot.eventType(listener.eventTypeId);
  if (node === null || type === null)
    throw new EventCenterError('INTERNAL', `listener ${listenerId} has lost its node or event type`);
  const now = deps.clock.now();
  const event: Event = {
    eventId: uuidV7(now),
    appId: type.owner === OWNER_ALL ? BUILT_IN_NODE_CODE : type.owner,
    eventTypeId: type.id,
    sourceId: type.sourceId,
    eventType: type.eventTypeCode,
    tenantCode: sample.tenantCode,
    userObject: sample.userObject === null ? null : Buffer.from(sample.userObject),
    senderUuid: null,
    traceparent: null,
    acceptedAt: now,
    deliverAt: null,
    registryVersion: snapshot.version,
  };
  const answer = await deps.testPlaces.within(listenerId, () =>
    deps.caller.call({ event, listener, node, attempt: 1 }),
  );
  const detail = { eventId: event.eventId, kind: answer.kind, status: answer.status };
  await appendAudit(deps, actor, { action: 'listener.tested', subjectKind: 'listener', subjectId: listenerId, detail });
  return answer;
}
