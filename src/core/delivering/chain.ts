import type { ChainPosition, DeliveryState, Listener, Node } from '../model.js';
import type { ListenerAnswer } from '../ports.js';
import { nextDelayMs, scheduledDelayMs } from './retry-schedule.js';

/** One place in a chain: a listener that is owed the event, with its registration as it is now. */
export interface ChainLink {
  listenerId: string;
  operIndex: number;
  /** Null when it was deleted meanwhile. */
  listener: Listener | null;
}

/** The chain of one (event, node): who is owed, and how far it has come in this generation. Immutable. */
export interface Chain {
  /** Ascending by `operIndex`. */
  links: readonly ChainLink[];
  /** As the message in hand carries it. */
  position: ChainPosition;
  /** Listener ids that are settled in this generation. */
  settled: ReadonlySet<string>;
  /** True once an exhausted listener has stopped the rest. */
  stopped: boolean;
  onExhausted: Node['onExhausted'];
}

/** What to do next. `attempt` is the number of the attempt to make, or for `settle` of those made so far. */
export type ChainStep =
  | { do: 'call'; link: ChainLink; listener: Listener; attempt: number }
  | { do: 'settle'; link: ChainLink; attempt: number; settlement: Decision }
  | { do: 'done' };

/** A listener that comes to its end without a call. */
export type Decision =
  | { state: 'cancelled'; reason: 'listener-deleted' }
  | { state: 'skipped'; reason: 'listener-disabled' | 'chain-stopped' };

/** What an attempt means: an end, or a successor after a delay. */
export type Verdict =
  | { then: 'settle'; state: 'succeeded'; reason: null }
  | { then: 'settle'; state: 'failed'; reason: 'exhausted' | 'gone' }
  | { then: 'retry'; delayMs: number; successor: ChainPosition };

/** The centre's delays: the default schedule, and every declared step in ascending order. */
export interface Delays {
  defaultDelaysMs: number[];
  stepsMs: number[];
}

/** Where a fresh first message stands. */
export function firstPosition(nodeCode: string): ChainPosition {
  return {
    nodeCode,
    generation: 1,
    sequence: 0,
    targets: null,
    settled: [],
    listenerId: null,
    attempt: 1,
    attemptsBefore: {},
    dueAt: null,
  };
}

/** The chain as a message finds it. Without a node every listener is gone too, and nothing stops the rest. */
export function beginChain(position: ChainPosition, links: readonly ChainLink[], node: Node | null): Chain {
  return {
    links,
    position,
    settled: new Set(position.settled),
    stopped: false,
    onExhausted: node?.onExhausted ?? 'continue',
  };
}

/**
 * Adds what the store knows to be settled in this generation. A failure among it that the message does not know of
 * happened in an earlier run of this same message, which did not come to stop the rest; one whose listener is now
 * disabled or deleted was `410 Gone`, which stops nothing.
 */
export function withClaimedSettled(chain: Chain, known: ReadonlyMap<string, DeliveryState>): Chain {
  const news = [...known].filter(([listenerId]) => !chain.settled.has(listenerId));
  if (news.length === 0) return chain;
  const stops = news.some(([listenerId, state]) => {
    const link = chain.links.find((candidate) => candidate.listenerId === listenerId);
    return state === 'failed' && link?.listener?.enabled === true;
  });
  return {
    ...chain,
    settled: new Set([...chain.settled, ...news.map(([listenerId]) => listenerId)]),
    stopped: chain.stopped || (stops && chain.onExhausted === 'stop'),
  };
}

/** What to do next: the listener that the message is about, else the lowest `operIndex` that is not settled. */
export function nextStep(chain: Chain): ChainStep {
  const open = chain.links.filter((link) => !chain.settled.has(link.listenerId));
  const link = open.find((candidate) => candidate.listenerId === chain.position.listenerId) ?? open[0];
  if (link === undefined) return { do: 'done' };
  const attempt = attemptOf(chain, link.listenerId);
  const { listener } = link;
  if (listener === null) return settle(link, attempt - 1, { state: 'cancelled', reason: 'listener-deleted' });
  if (chain.stopped) return settle(link, attempt - 1, { state: 'skipped', reason: 'chain-stopped' });
  if (!listener.enabled) return settle(link, attempt - 1, { state: 'skipped', reason: 'listener-disabled' });
  return { do: 'call', link, listener, attempt };
}

/** What the answer to an attempt means. `410 Gone` fails at once, whatever the policy (protocol page, section 3). */
export function judgeAnswer(
  chain: Chain,
  call: { listener: Listener; attempt: number; answer: Pick<ListenerAnswer, 'kind' | 'status' | 'retryAfterMs'> },
  delays: Delays,
): Verdict {
  const { listener, attempt, answer } = call;
  if (answer.kind === 'success') return { then: 'settle', state: 'succeeded', reason: null };
  if (answer.kind === 'refused' && answer.status === 410) return { then: 'settle', state: 'failed', reason: 'gone' };
  const delayMs = nextDelayMs({
    ...delays,
    policy: listener.retry,
    attemptsMade: attempt - attemptsBefore(chain, listener.id),
    retryAfterMs: answer.retryAfterMs,
  });
  if (delayMs === null) return { then: 'settle', state: 'failed', reason: 'exhausted' };
  return { then: 'retry', delayMs, successor: successorOf(chain, { listenerId: listener.id, attempt: attempt + 1 }) };
}

/** An attempt that is put off without being made or counted: the circuit is open. */
export function postpone(
  chain: Chain,
  call: { listener: Listener; attempt: number },
  { defaultDelaysMs }: Delays,
): { delayMs: number; successor: ChainPosition } {
  const { listener, attempt } = call;
  const inGeneration = attempt - attemptsBefore(chain, listener.id);
  return {
    delayMs: scheduledDelayMs(listener.retry, defaultDelaysMs, inGeneration),
    successor: successorOf(chain, { listenerId: listener.id, attempt }),
  };
}

/** The chain after a listener came to its end. */
export function settleLink(chain: Chain, listenerId: string, reason: 'exhausted' | 'other'): Chain {
  return {
    ...chain,
    settled: new Set(chain.settled).add(listenerId),
    stopped: chain.stopped || (reason === 'exhausted' && chain.onExhausted === 'stop'),
  };
}

/** Where the chain goes on in a further message: `next` is tried first, under the next sequence. */
export function successorOf(chain: Chain, next: { listenerId: string; attempt: number }): ChainPosition {
  return {
    ...chain.position,
    sequence: chain.position.sequence + 1,
    settled: [...chain.settled],
    listenerId: next.listenerId,
    attempt: next.attempt,
    dueAt: null,
  };
}

function attemptOf(chain: Chain, listenerId: string): number {
  if (chain.position.listenerId === listenerId) return chain.position.attempt;
  return attemptsBefore(chain, listenerId) + 1;
}

function attemptsBefore(chain: Chain, listenerId: string): number {
  const { attemptsBefore: counts } = chain.position;
  return Object.hasOwn(counts, listenerId) ? (counts[listenerId] ?? 0) : 0;
}

function settle(link: ChainLink, attempt: number, settlement: Decision): ChainStep {
  return { do: 'settle', link, attempt, settlement };
}
