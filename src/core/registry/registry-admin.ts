import { EventTypeAdmin } from './event-type-admin.js';
import { ListenerAdmin } from './listener-admin.js';
import { NodeAdmin } from './node-admin.js';
import type { RegistryAdminDeps } from './registry-change.js';

/**
 * Every change of what is registered, with all its rules (protocol, sections 5 and 6). Each change is one transaction
 * with its audit entry; it raises the registry's version by one and the changed row's `version` by one.
 */
export class RegistryAdmin {
  readonly nodes: NodeAdmin;
  readonly eventTypes: EventTypeAdmin;
  readonly listeners: ListenerAdmin;

  constructor(deps: RegistryAdminDeps) {
    this.nodes = new NodeAdmin(deps);
    this.eventTypes = new EventTypeAdmin(deps);
    this.listeners = new ListenerAdmin(deps);
  }
}
