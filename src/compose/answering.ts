import { Acceptor } from '../core/accepting/accept.js';
import { DeliveryDesk } from '../core/redelivering/delivery-admin.js';
import { LeaseDesk } from '../core/leasing/lease-desk.js';
import { RetiredQueues, type RetiredQueuesDeps } from '../core/leasing/retired-queues.js';
import { readinessOf } from '../core/readiness.js';
import { createHealthApp, createManagementApp } from '../http/management/app.js';
import { callerOf } from '../http/management/authenticate.js';
import { publishEvents } from '../http/publish-events.js';
import { claim } from '../http/sending/claim.js';
import { createEventManager } from '../http/sending/event-manager.js';
import { eventInfo } from '../http/sending/event-info.js';
import { lease } from '../http/sending/lease.js';
import { BodyReader } from '../http/sending/read-body.js';
import { release } from '../http/sending/release.js';
import { sendEvent } from '../http/sending/send-event.js';
import { settle } from '../http/sending/settle.js';
import { type HttpServerOptions } from '../http/server.js';
import { Parts, clock } from './parts.js';
import type { Surroundings } from './surroundings.js';
import type { Delivering } from './delivering.js';

/** The journal counts as lagging from here. */
const JOURNAL_LAG_MS = 10_000;

/** What gives the events for plugins to the nodes' own processes. */
export function leaseDeskOf({ config, log, metrics, database, broker, registry, ...stores }: Surroundings): LeaseDesk {
  const { claims, parked, leases } = stores;
  const desk = new LeaseDesk({
    ...{ broker, registry, claims, parked, leases, clock, log, metrics },
    defaultDelaysMs: config.delivery.retryDelaysMs,
    storeProblem: () => database.status().problem,
  });
  registry.onSnapshot(() => {
    desk.onSnapshot();
  });
  return desk;
}

/** Empties what nobody asks the desk for any more, until the parts are stopped. */
export function startEmptying(deps: RetiredQueuesDeps, parts: Parts): void {
  parts.add('retired-queues', new RetiredQueues(deps), (part) => part.stop()).start();
}

/** What the HTTP server answers: everything, or health only without a desk, in the role `worker`. */
export function answering(
  surroundings: Surroundings,
  { delivering, desk }: { delivering: Delivering | null; desk: LeaseDesk | null },
  parts: Parts,
): HttpServerOptions {
  const { config, log, metrics, database, broker, registry, journal, claims } = surroundings;
  const { host, port, contextPath, maxConnections, trustedProxies } = config.http;
  const incident = (name: string): void => metrics.incident(name);
  const serving = { host, port, maxConnections, incident };
  metrics.observe({
    broker,
    snapshot: () => (registry.loaded ? registry.current() : null),
    registryCheckedAt: () => registry.checkedAt,
    unreadableSecrets: () => registry.unreadable.length,
    journal,
    isDatabaseUp: () => database.status().ready,
    openCircuitBreakers: () => delivering?.worker.openCircuits() ?? 0,
    lockedAddresses: () => surroundings.access.lockedAddresses(),
    recordsJournal: delivering !== null,
  });
  const readiness = () =>
    readinessOf({
      broker: broker.status(),
      registryVersion: registry.loaded ? registry.current().version : null,
      registryProblem: registry.storeProblem,
      unreadableSecrets: registry.unreadable.length,
      databaseUp: database.status().ready,
      journalLagging: (delivering?.recorder.lag().oldestMs ?? 0) > JOURNAL_LAG_MS,
      stopping: parts.stopping,
    });
  if (desk === null) {
    return { ...serving, eventManager: () => false, app: createHealthApp({ readiness, metrics, log }) };
  }
  const { idempotency, redelivery, replays, audit } = surroundings;
  const { maxBodyBytes } = config.ingest;
  const { confirmTimeoutMs } = config.broker;
  const options = { ...config.ingest, confirmTimeoutMs };
  const acceptor = new Acceptor({ registry, broker, idempotency, clock, log, metrics, options });
  const { authenticator } = acceptor;
  const { maxBufferedBytes } = config.ingest;
  const bodies = new BodyReader({ maxBytes: maxBodyBytes, maxUnfinishedBytes: maxBufferedBytes, incident });
  const call = { authenticator, bodies };
  const hosting = { defaultDelaysMs: config.delivery.retryDelaysMs, brokerPrefix: config.broker.prefix };
  const eventManager = createEventManager({
    contextPath,
    log,
    routes: {
      'sendEventMsg.do': sendEvent({ acceptor, bodies }),
      'eventinfo/index.do': eventInfo({ authenticator, registry, options: hosting }),
      'lease.do': lease({ ...call, desk, log }),
      'settle.do': settle({ ...call, desk }),
      'release.do': release({ ...call, desk }),
      'claim.do': claim({ ...call, claims }),
    },
  });
  const deliveries = new DeliveryDesk({ redelivery, replays, audit, clock, log });
  const app = createManagementApp({
    ...surroundings,
    readiness,
    deliveries,
    publishEvents: publishEvents({ acceptor, callerOf, maxBodyBytes }),
    clock,
    contextPath,
    trustedProxies,
  });
  return { ...serving, eventManager, app };
}
