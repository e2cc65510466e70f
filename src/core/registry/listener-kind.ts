import type { Listener, ListenerKind } from '../model.js';

/** Whether a listener is called by url or in the node's own process. */
export function kindOf(listener: Pick<Listener, 'url'>): ListenerKind {
  return listener.url === null ? 'plugin' : 'url';
}
