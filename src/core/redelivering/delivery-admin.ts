import { appendAudit } from '../access/audit.js';
import { EventCenterError } from '../errors.js';
import { uuidV7 } from '../ids.js';
import type { JsonObject } from '../model.js';
import type {
  Actor,
  AuditEntry,
  AuditStore,
  Clock,
  DeliveryAdmin,
  Log,
  Replay,
  ReplayFilter,
  ReplayStore,
} from '../ports.js';
import type { Redelivery } from './redelivery.js';

export interface DeliveryDeskDeps {
  redelivery: Pick<Redelivery, 'retry' | 'cancel'>;
  replays: Pick<ReplayStore, 'create' | 'find' | 'cancel'>;
  audit: AuditStore;
  clock: Clock;
  log: Log;
}

/** What operators can do with deliveries, each noted in the audit log once it is done. */
export class DeliveryDesk implements DeliveryAdmin {
  readonly #deps: DeliveryDeskDeps;

  constructor(deps: DeliveryDeskDeps) {
    this.#deps = deps;
  }

  async retry(actor: Actor, eventId: string, listenerId: string): Promise<void> {
    await this.#deps.redelivery.retry(eventId, listenerId);
    await this.#audit(actor, aboutDelivery('delivery.retried', eventId, listenerId));
  }

  async cancel(actor: Actor, eventId: string, listenerId: string): Promise<void> {
    await this.#deps.redelivery.cancel(eventId, listenerId);
    await this.#audit(actor, aboutDelivery('delivery.cancelled', eventId, listenerId));
  }

  async startReplay(
    actor: Actor,
    request: { filter: ReplayFilter; dryRun: boolean; ratePerSecond: number | null },
  ): Promise<Replay> {
    const now = this.#deps.clock.now();
    const replay: Replay = {
      id: uuidV7(now),
      ...request,
      state: 'pending',
      matched: 0,
      done: 0,
      failed: 0,
      error: null,
      createdAt: now,
      createdBy: actor.name,
      finishedAt: null,
    };
    await this.#deps.replays.create(replay);
    const detail = JSON.parse(JSON.stringify(request)) as JsonObject;
    await this.#audit(actor, { action: 'replay.started', subjectKind: 'replay', subjectId: replay.id, detail });
    return replay;
  }

  findReplay(id: string): Promise<Replay | null> {
    return this.#deps.replays.find(id);
  }

  async cancelReplay(actor: Actor, id: string): Promise<Replay> {
    const replay = await this.#deps.replays.cancel(id, this.#deps.clock.now());
    if (replay === null) throw new EventCenterError('NOT_FOUND', `there is no replay ${id}`);
    await this.#audit(actor, { action: 'replay.cancelled', subjectKind: 'replay', subjectId: id, detail: {} });
    return replay;
  }

  #audit(actor: Actor, entry: AuditEntry): Promise<void> {
    return appendAudit(this.#deps, actor, entry);
  }
}

function aboutDelivery(action: string, eventId: string, listenerId: string): AuditEntry {
  return { action, subjectKind: 'delivery', subjectId: `${eventId}/${listenerId}`, detail: {} };
}
