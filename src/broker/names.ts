import type { NodeQueue, QueueRef } from '../core/ports.js';

/** Names of all exchanges and queues under a prefix (architecture, topology). */
export interface Names {
  /** Topic exchange that takes every event. */
  events: string;
  /** Direct exchange to one node queue. */
  redeliver: string;
  /** Fanout exchange, and its queue. */
  dead: string;
  /** Fanout exchange to every process. */
  control: string;
  journal: string;
  /** Fanout exchange, and its queue. */
  outcomes: string;
  /** Fanout exchange, and its queue, of a delay step. */
  delay(delayMs: number): string;
  node(queue: NodeQueue): string;
  queue(ref: QueueRef): string;
}

/** The names under `prefix`, such as `ec.`. */
export function namesUnder(prefix: string): Names {
  const node = (queue: NodeQueue): string => `${prefix}${queue.kind === 'url' ? 'node' : 'app'}.${queue.nodeCode}`;
  const own = { journal: `${prefix}journal`, outcomes: `${prefix}outcomes`, dead: `${prefix}dead` };
  return {
    ...own,
    events: `${prefix}events`,
    redeliver: `${prefix}redeliver`,
    control: `${prefix}control`,
    delay: (delayMs) => `${prefix}delay.${delayMs}`,
    node,
    queue: (ref) => (ref.kind === 'url' || ref.kind === 'plugin' ? node(ref) : own[ref.kind]),
  };
}
