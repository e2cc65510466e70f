import { chainLinks } from './chain-links.js';
import {
  beginChain,
  judgeAnswer,
  nextStep,
  postpone,
  settleLink,
  successorOf,
  withClaimedSettled,
  type Chain,
  type ChainLink,
  type ChainStep,
  type Delays,
} from './chain.js';
import type { AssuredPublisher } from './assured-publish.js';
import type { CallGate } from './call-gate.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { exhaustedEvent } from './exhausted-event.js';
import { EventCenterError } from '../errors.js';
import type { ChainPosition, Event, Listener, ListenerKind, Node, Outcome } from '../model.js';
import type { ClaimStore, ListenerAnswer, ListenerCaller, Settlement } from '../ports.js';
import type { RegistrySnapshot, RegistryView } from '../registry/registry.js';
import { RunOutcomes, type RunOutcomesDeps } from './run-outcomes.js';

/** What a run goes by: its links in order, and its node. */
export interface RunRegistrations {
  links: ChainLink[];
  node: Node | null;
}

export interface ChainRunDeps extends RunOutcomesDeps {
  /** The kind of listeners whose queues are served. */
  kind: ListenerKind;
  registry: RegistryView;
  claims: ClaimStore;
  caller: ListenerCaller;
  breaker: CircuitBreaker;
  publisher: AssuredPublisher;
  /**
   * Told once per run when a listener has failed for good, before that is recorded; gives the error to record.
   * @throws UNAVAILABLE to give the message back instead.
   */
  compensate?: ((failed: { event: Event; listener: Listener; outcome: Outcome }) => Promise<string | null>) | undefined;
  /** Disables a listener that answered `410 Gone`. */
  disableListener(listenerId: string): Promise<void>;
  delaysOf(snapshot: RegistrySnapshot): Delays;
  /** Gives what to go by instead of what is registered now, where a call was made under what was registered before. */
  asCalled?: ((now: RunRegistrations) => RunRegistrations) | undefined;
  /** True when a listener is not to be called in this run: what is left of the chain is handed on. */
  mustHandOn(listener: Listener): boolean;
  /** True once the messages in hand were given back: others act for them from then on. */
  isOver(): boolean;
}

/** One message in hand. */
export interface RunSubject {
  event: Event;
  position: ChainPosition;
  messageId: string;
  /** Whether each step is claimed in the store before it is made (architecture, decision 5). */
  claimSteps: boolean;
  gate: CallGate;
  receivedAt: number;
  /** How long the message may be held unacked. */
  maxHoldMs: number;
  /** When to give the message back, if what follows from it finds no safe place. */
  giveUpAt: number;
}

type CallStep = Extract<ChainStep, { do: 'call' }>;

/** Walks the chain of one message: calls what is to be called, and lets every consequence become safe before the ack. */
export class ChainRun {
  readonly #deps: ChainRunDeps;
  readonly #subject: RunSubject;
  readonly #outcomes: RunOutcomes;
  #snapshot: RegistrySnapshot;
  #node: Node | null;
  #chain: Chain;
  #claimDue: boolean;
  #progressed = false;

  constructor(deps: ChainRunDeps, subject: RunSubject, snapshot: RegistrySnapshot) {
    this.#deps = deps;
    this.#subject = subject;
    this.#outcomes = new RunOutcomes(deps, subject);
    this.#snapshot = snapshot;
    const { links, node } = this.#registrations(snapshot);
    this.#node = node;
    this.#chain = beginChain(subject.position, links, node);
    this.#claimDue = subject.claimSteps;
  }

  /** @throws UNAVAILABLE when a consequence found no safe place in time; then nothing must be acked. */
  async run(): Promise<Settlement> {
    for (;;) {
      this.#refresh();
      const step = nextStep(this.#chain);
      if (step.do === 'done') return this.#finish();
      if (this.#node?.enabled === false) return this.#handOn(step);
      if (this.#claimDue) {
        if (!(await this.#claim())) return this.#finish();
      } else if (step.do === 'settle') {
        this.#decide(step);
      } else {
        const end = await this.#call(step);
        if (end !== null) return end;
      }
    }
  }

  /** Who is owed stays the same; their registrations are taken as they are now. */
  #refresh(): void {
    const current = this.#deps.registry.current();
    if (current.version <= this.#snapshot.version) return;
    const { position } = this.#subject;
    this.#snapshot = current;
    const registered = this.#registrations(current);
    this.#node = registered.node;
    const { links, onExhausted } = beginChain(position, registered.links, registered.node);
    this.#chain = { ...this.#chain, links, onExhausted };
  }

  #registrations(snapshot: RegistrySnapshot): RunRegistrations {
    const { event, position } = this.#subject;
    const { kind, asCalled } = this.#deps;
    const links = chainLinks(snapshot, event, { position, kind });
    const now = { links, node: snapshot.node(position.nodeCode) };
    return asCalled === undefined ? now : asCalled(now);
  }

  /** False when another message acts for this chain. Without the store the call is made: repeating beats losing. */
  async #claim(): Promise<boolean> {
    const { claims, log, metrics } = this.#deps;
    const { event, position, messageId } = this.#subject;
    this.#claimDue = false;
    const { nodeCode, generation, sequence } = position;
    try {
      const claim = await claims.claim({ eventId: event.eventId, nodeCode, generation, sequence, messageId });
      if (claim.result === 'granted') {
        this.#chain = withClaimedSettled(this.#chain, claim.settled);
        return true;
      }
      metrics.incident(`claim.${claim.result}`);
      log.debug('delivery.claim-refused', {
        eventId: event.eventId,
        nodeCode,
        generation,
        sequence,
        result: claim.result,
      });
      return false;
    } catch (error) {
      metrics.incident('claim.unavailable');
      log.debug('delivery.claim-unavailable', { eventId: event.eventId, nodeCode, error });
      return true;
    }
  }

  #decide(step: Extract<ChainStep, { do: 'settle' }>): void {
    const { state, reason } = step.settlement;
    this.#outcomes.decided(step, { state, reason, nextAttemptAt: null }, null);
    this.#chain = settleLink(this.#chain, step.link.listenerId, 'other');
    this.#progressed = true;
  }

  /** Makes one attempt, or finds that it is not to be made now. Null when the chain goes on in this message. */
  async #call(step: CallStep): Promise<Settlement | null> {
    switch (await this.#admit(step)) {
      case 'look-again':
        return null;
      case 'circuit-open':
        return this.#postpone(step);
      case 'hand-on':
        return this.#handOn(step);
      case 'call':
        return this.#conclude(step, await this.#answerOf(step));
    }
  }

  /** `call` means that a place inside the gate is taken. */
  async #admit({ listener }: CallStep): Promise<'call' | 'circuit-open' | 'hand-on' | 'look-again'> {
    const { breaker } = this.#deps;
    const { gate } = this.#subject;
    const latestCallAt = this.#latestCallAt(listener.timeoutMs);
    if (this.#deps.mustHandOn(listener) || this.#node === null) return 'hand-on';
    if (breaker.refuses(listener.id)) return 'circuit-open';
    const entered = gate.enter(latestCallAt);
    if (entered !== true && !(await entered)) return 'hand-on';
    let admitted: 'call' | 'circuit-open' | 'hand-on' | 'look-again' = 'call';
    if (this.#deps.mustHandOn(listener) || this.#deps.clock.now() > latestCallAt) admitted = 'hand-on';
    else if (this.#deps.registry.current().version > this.#snapshot.version) admitted = 'look-again';
    else if (!breaker.admits(listener.id)) admitted = 'circuit-open';
    if (admitted !== 'call') gate.leave();
    return admitted;
  }

  async #answerOf({ listener, attempt }: CallStep): Promise<ListenerAnswer> {
    const { caller, clock, log } = this.#deps;
    const startedAt = clock.now();
    try {
      return await caller.call({ event: this.#subject.event, listener, node: this.#node as Node, attempt });
    } catch (error) {
      log.error('callback.broke', { eventId: this.#subject.event.eventId, listenerId: listener.id, error });
      const durationMs = clock.now() - startedAt;
      const failed = { kind: 'refused', status: null, error: 'the call could not be made', response: null } as const;
      return { ...failed, retryAfterMs: null, startedAt, durationMs };
    } finally {
      this.#subject.gate.leave();
      this.#progressed = true;
      this.#claimDue = this.#subject.claimSteps;
    }
  }

  async #conclude(step: CallStep, answer: ListenerAnswer): Promise<Settlement | null> {
    const { listener, attempt } = step;
    if (this.#deps.isOver() && answer.kind !== 'success') {
      throw new EventCenterError('UNAVAILABLE', 'the message was given back while its listener was called');
    }
    this.#count(listener, answer);
    const verdict = judgeAnswer(this.#chain, { listener, attempt, answer }, this.#delays());
    if (verdict.then === 'retry') {
      const dueAt = await this.#publishSuccessor(verdict.successor, verdict.delayMs);
      const end = { state: 'retrying', reason: null, nextAttemptAt: dueAt } as const;
      this.#outcomes.attempted(this.#outcomes.ofAttempt(step, answer, end));
      return this.#finish();
    }
    const { state, reason } = verdict;
    const made = this.#outcomes.ofAttempt(step, answer, { state, reason, nextAttemptAt: null });
    this.#outcomes.attempted(state === 'failed' ? await this.#concludeFailure(listener, made) : made);
    this.#chain = settleLink(this.#chain, listener.id, reason === 'exhausted' ? 'exhausted' : 'other');
    return null;
  }

  #count(listener: Listener, answer: ListenerAnswer): void {
    const { breaker, log, metrics } = this.#deps;
    const circuit = breaker.record(listener.id, answer.kind);
    if (circuit !== 'unchanged') {
      log.warn(`circuit.${circuit}`, { listenerId: listener.id, nodeCode: listener.nodeCode });
    }
    metrics.attempted(answer.kind === 'success' ? 'succeeded' : 'failed', answer.durationMs);
  }

  /**
   * What a delivery that failed for good sets off; before its outcome, so that a crash between repeats it. Failures of
   * plugins are announced by the journal, because not every process that runs plugins may publish events.
   */
  async #concludeFailure(listener: Listener, made: Outcome): Promise<Outcome> {
    const { kind, publisher, compensate, clock, log, metrics } = this.#deps;
    const { event } = this.#subject;
    const outcome =
      compensate === undefined ? made : { ...made, error: await compensate({ event, listener, outcome: made }) };
    if (kind === 'url') {
      const announcement = exhaustedEvent(event, outcome, { snapshot: this.#snapshot, now: clock.now() });
      if (announcement !== null) await publisher.event(announcement);
    }
    if (outcome.reason !== 'gone') return outcome;
    await this.#deps.disableListener(outcome.listenerId).catch((error: unknown) => {
      metrics.incident('listener.not-disabled');
      log.warn('listener.not-disabled', { listenerId: outcome.listenerId, error });
    });
    return outcome;
  }

  /** The circuit is open: takes the delay without a call and without using an attempt. */
  async #postpone(step: CallStep): Promise<Settlement> {
    const { delayMs, successor } = postpone(this.#chain, step, this.#delays());
    const dueAt = await this.#publishSuccessor(successor, delayMs);
    const made = { link: step.link, attempt: step.attempt - 1 };
    const end = { state: 'retrying', reason: 'circuit-open', nextAttemptAt: dueAt } as const;
    this.#outcomes.decided(made, end, 'circuit open');
    return this.#finish();
  }

  /**
   * The step is not to be made now: the node is disabled, the listener is not to be called in this run, or the message
   * would be held for too long. What was done goes into a successor without delay; a message with which nothing was done
   * goes back as it is, unless it has waited for so long that it must not count as taken and returned.
   */
  async #handOn(step: Exclude<ChainStep, { do: 'done' }>): Promise<Settlement> {
    const timeoutMs = step.link.listener?.timeoutMs ?? 0;
    const waitedTooLong = this.#deps.clock.now() > this.#latestCallAt(timeoutMs);
    if (this.#deps.isOver() || (!this.#progressed && !waitedTooLong)) return 'requeue';
    const attempt = step.do === 'call' ? step.attempt : step.attempt + 1;
    await this.#publishSuccessor(successorOf(this.#chain, { listenerId: step.link.listenerId, attempt }), 0);
    return this.#finish();
  }

  /**
   * No call that may take `timeoutMs` begins later. One that may take more than half of the hold cannot keep it; it still
   * gets half of it for waiting, because a message that is handed on again and again would never get anywhere.
   */
  #latestCallAt(timeoutMs: number): number {
    const { receivedAt, maxHoldMs } = this.#subject;
    return receivedAt + Math.max(maxHoldMs - timeoutMs, maxHoldMs / 2);
  }

  async #finish(): Promise<Settlement> {
    await this.#outcomes.allSafe();
    return 'ack';
  }

  #publishSuccessor(chain: ChainPosition, delayMs: number): Promise<number> {
    const { event, giveUpAt } = this.#subject;
    return this.#deps.publisher.successor({
      queue: { kind: this.#deps.kind, nodeCode: chain.nodeCode },
      message: { event, chain, claimSteps: false },
      delayMs,
      giveUpAt,
    });
  }

  #delays(): Delays {
    return this.#deps.delaysOf(this.#snapshot);
  }
}
