import type { FailureAnnouncer } from './announce-failures.js';
import { GIVEN_UP } from '../given-up.js';
import { uuidV5 } from '../ids.js';
import { Intake } from './intake.js';
import type { EventMessage, ListenerKind } from '../model.js';
import { sleep, type Sleep } from '../periodic.js';
import type {
  Broker,
  Clock,
  DeadMessage,
  JournalStore,
  Log,
  Metrics,
  NodeQueue,
  Received,
  Settlement,
} from '../ports.js';
import { UNSTORABLE } from './refused-entries.js';
import type { RegistrySnapshot, RegistryView } from '../registry/registry.js';
import { StoreOutage } from './store-outage.js';

export interface DeadQueueDeps {
  broker: Pick<Broker, 'consumeDead' | 'publishToNode' | 'depth'>;
  journal: Pick<JournalStore, 'recordUnreadable' | 'failDeadLettered' | 'probe'>;
  registry: RegistryView;
  announcer: Pick<FailureAnnouncer, 'failed'>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  sleep?: Sleep;
}

const PREFETCH = 20;
/** A queue that should be there may just be made again; so often and at such distances it is looked for. */
const LOOKS = 5;
const BETWEEN_LOOKS_MS = 2_000;
/** Before a message goes back because the broker does not confirm. */
const GIVE_BACK_PAUSE_MS = 1_000;
/** The broker's reason for a message that came back to its queue too often. */
const TOO_OFTEN = /delivery[-_]limit/;
/** The name of a node queue, without the prefix of all queues. */
const NODE_QUEUE = /(?:^|[^A-Za-z0-9])(node|app)\.(?=([A-Za-z0-9._-]{1,40})$)/g;

/**
 * Empties the dead queue. A message for a node whose queue exists again goes there; otherwise its deliveries become
 * `failed`, with the reason, which is announced, and can be replayed. What nobody can read is listed under failures (architecture, topology).
 */
export class DeadQueue {
  readonly #deps: DeadQueueDeps;
  readonly #intake: Intake<'store' | 'stop'>;
  readonly #outage: StoreOutage;
  readonly #stop = new AbortController();

  constructor(deps: DeadQueueDeps) {
    this.#deps = deps;
    const { clock, log, metrics, journal } = deps;
    this.#intake = new Intake(log);
    this.#outage = new StoreOutage({
      name: 'dead',
      probe: () => journal.probe(),
      onAway: () => {
        this.#intake.pause('store');
      },
      onBack: () => {
        this.#intake.resume('store');
      },
      clock,
      log,
      metrics,
      ...(deps.sleep === undefined ? {} : { sleep: deps.sleep }),
    });
  }

  /** Begins to consume. */
  async start(): Promise<void> {
    const handler = (received: Received<DeadMessage>): Promise<Settlement> => this.#take(received);
    this.#intake.add(await this.#deps.broker.consumeDead({ prefetch: PREFETCH }, handler));
  }

  /** Stops consuming; what is in hand is finished or goes back. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#intake.pause('stop');
    await this.#outage.stop();
    await this.#intake.stop();
  }

  async #take(received: Received<DeadMessage>): Promise<Settlement> {
    if (this.#stop.signal.aborted || this.#outage.since !== null) return 'requeue';
    const { reason, queue, message } = received.message;
    // The recorder has listed it already.
    if (reason.startsWith(UNSTORABLE)) return 'ack';
    const target = message === null ? null : this.#targetOf(message, queue);
    if (message === null || target === null) return this.#listUnreadable(received);
    return (await this.#sendAgain(target, message, reason)) ?? this.#fail(target, message, reason);
  }

  /** Null when it cannot be sent again. */
  async #sendAgain(target: NodeQueue, message: EventMessage, reason: string): Promise<Settlement | null> {
    // It would be a loop.
    if (TOO_OFTEN.test(reason) || reason.startsWith(GIVEN_UP)) return null;
    const { broker, log } = this.#deps;
    const { eventId } = message.event;
    try {
      for (let look = 1; this.#isRegistered(target); look += 1) {
        // Only a queue that is there: without one, the message would come back to us for ever.
        if ((await broker.depth(target)) !== null) {
          await broker.publishToNode(target, { ...message, claimSteps: true }, 0);
          log.info('dead.sent-again', { eventId, ...target, reason });
          return 'ack';
        }
        if (look >= LOOKS) return null;
        await this.#pause(BETWEEN_LOOKS_MS);
        if (this.#stop.signal.aborted) return 'requeue';
      }
      return null;
    } catch (error) {
      log.warn('dead.given-back', { eventId, ...target, error });
      await this.#pause(GIVE_BACK_PAUSE_MS);
      return 'requeue';
    }
  }

  async #fail(target: NodeQueue, message: EventMessage, reason: string): Promise<Settlement> {
    const { journal, announcer, clock, log, metrics } = this.#deps;
    const { event } = message;
    const { eventId } = event;
    return this.#inStore(async () => {
      const failed = await journal.failDeadLettered({ message, nodeCode: target.nodeCode, reason, at: clock.now() });
      await announcer.failed(event, failed);
      metrics.incident('dead.failed');
      log.warn('dead.failed', { eventId, ...target, reason });
    });
  }

  async #listUnreadable({ message: dead, messageId }: Received<DeadMessage>): Promise<Settlement> {
    const { journal, clock, log, metrics } = this.#deps;
    const { reason, queue, raw, rawHeaders } = dead;
    const id = uuidV5('unreadable', messageId, raw.toString('latin1'));
    return this.#inStore(async () => {
      await journal.recordUnreadable({ id, reason, raw, rawHeaders, at: clock.now() });
      metrics.incident('dead.unreadable');
      log.error('dead.unreadable', { id, queue, reason });
    });
  }

  async #inStore(work: () => Promise<void>): Promise<Settlement> {
    try {
      await work();
      return 'ack';
    } catch (error) {
      // Paused first, so that the message does not come again at once.
      this.#outage.begin(error);
      return 'requeue';
    }
  }

  /** The queue that a message belongs to; null when it names no node, as one from the journal. */
  #targetOf(message: EventMessage, queue: string | null): NodeQueue | null {
    const named = [...(queue ?? '').matchAll(NODE_QUEUE)].map(([, kind, nodeCode]): NodeQueue => ({
      kind: kind === 'app' ? 'plugin' : 'url',
      nodeCode: nodeCode ?? '',
    }));
    const nodeCode = message.chain?.nodeCode;
    if (nodeCode !== undefined) {
      const kind = named.find((candidate) => candidate.nodeCode === nodeCode)?.kind ?? this.#kindAt(nodeCode, message);
      return { kind, nodeCode };
    }
    // A prefix of all queues can look like the name of one.
    return named.find((candidate) => this.#isRegistered(candidate)) ?? named[0] ?? null;
  }

  #kindAt(nodeCode: string, { event }: EventMessage): ListenerKind {
    const revision = this.#snapshot()?.data.revisions.find(
      (candidate) => candidate.nodeCode === nodeCode && candidate.eventTypeId === event.eventTypeId,
    );
    return revision?.kind ?? 'url';
  }

  #isRegistered({ kind, nodeCode }: NodeQueue): boolean {
    const listeners = this.#snapshot()?.data.listeners ?? [];
    return listeners.some(
      (listener) => listener.nodeCode === nodeCode && (listener.url === null ? 'plugin' : 'url') === kind,
    );
  }

  #snapshot(): RegistrySnapshot | null {
    try {
      return this.#deps.registry.current();
    } catch {
      return null;
    }
  }

  #pause(ms: number): Promise<void> {
    return (this.#deps.sleep ?? sleep)(ms, this.#stop.signal);
  }
}
