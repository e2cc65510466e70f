import type { ChainLink } from '../delivering/chain.js';
import type { RunRegistrations } from '../delivering/chain-run.js';
import type { Lease } from '../ports.js';

/**
 * What a report of a lease is judged by: what its process was told. It ran the listeners in `told` in that order, went on
 * behind a failure or did not, and called `doBackAction` or did not; whatever was registered anew meanwhile decides about
 * what comes next only.
 */
export function asLeased(lease: Lease, told: ReadonlySet<string>): (now: RunRegistrations) => RunRegistrations {
  const { listenerIds, lastAttempts, onExhausted } = lease;
  return ({ links, node }) => {
    const byId = new Map(links.map((link) => [link.listenerId, link]));
    const run = listenerIds.filter((id) => told.has(id)).flatMap((id) => byId.get(id) ?? []);
    const rest = links.filter(({ listenerId }) => !told.has(listenerId));
    return {
      links: [...run.map((link) => asTold(link, lastAttempts.includes(link.listenerId))), ...rest],
      node: node && { ...node, enabled: true, onExhausted },
    };
  };
}

/** A deleted listener stays deleted: nobody can be shown what came of it. */
function asTold(link: ChainLink, lastAttempt: boolean): ChainLink {
  const { listener } = link;
  if (listener === null) return link;
  // `loop` keeps the delays as they are.
  const strategy = lastAttempt ? 'none' : 'loop';
  return { ...link, listener: { ...listener, enabled: true, retry: { ...listener.retry, strategy } } };
}
