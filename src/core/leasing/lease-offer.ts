import { chainLinks } from '../delivering/chain-links.js';
import {
  beginChain,
  judgeAnswer,
  nextStep,
  settleLink,
  successorOf,
  withClaimedSettled,
  type Chain,
  type Delays,
} from '../delivering/chain.js';
import type { ChainPosition, DeliveryState, Event, Listener, Node } from '../model.js';
import type { RegistrySnapshot } from '../registry/registry.js';

/** A listener that is to be run by the node's own process. */
export interface OfferedListener {
  listener: Listener;
  /** Number of this attempt, 1-based. */
  attempt: number;
  /** Whether a failure of this attempt is for good. */
  lastAttempt: boolean;
}

/** What a message asks the node's own process to do. */
export interface Offer {
  onExhausted: Node['onExhausted'];
  /** One after another; at least one. */
  listeners: OfferedListener[];
  /** Where the chain goes on when nothing of it is done. */
  successor: ChainPosition;
}

const REFUSED = { kind: 'refused', status: null, retryAfterMs: null } as const;

/**
 * The listeners of a message that are to be run, as the delivery engine would walk them if each came to an end. Null
 * when there is none: what is left of the chain needs decisions only.
 */
export function offerOf(
  message: { event: Event; position: ChainPosition },
  context: { snapshot: RegistrySnapshot; settled: ReadonlyMap<string, DeliveryState>; delays: Delays },
): Offer | null {
  const { event, position } = message;
  const { snapshot, delays } = context;
  const links = chainLinks(snapshot, event, { position, kind: 'plugin' });
  const begun = withClaimedSettled(beginChain(position, links, snapshot.node(position.nodeCode)), context.settled);
  const listeners = callsOf(begun, delays);
  const [first] = listeners;
  if (first === undefined) return null;
  const successor = successorOf(begun, { listenerId: first.listener.id, attempt: first.attempt });
  return { onExhausted: begun.onExhausted, listeners, successor };
}

function callsOf(begun: Chain, delays: Delays): OfferedListener[] {
  const calls: OfferedListener[] = [];
  let chain = begun;
  for (;;) {
    const step = nextStep(chain);
    if (step.do === 'done') return calls;
    if (step.do === 'call') {
      const { listener, attempt } = step;
      const lastAttempt = judgeAnswer(chain, { listener, attempt, answer: REFUSED }, delays).then === 'settle';
      calls.push({ listener, attempt, lastAttempt });
    }
    chain = settleLink(chain, step.link.listenerId, 'other');
  }
}
