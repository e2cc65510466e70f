import type { Router } from 'express';
import type { Access } from '../../core/access/access.js';
import type { Broker, AuditStore, Clock, DeliveryAdmin, JournalReader, ListenerCaller, Log } from '../../core/ports.js';
import type { RegistryAdmin } from '../../core/registry/registry-admin.js';
import type { RegistryView } from '../../core/registry/registry.js';
import type { HealthDeps } from './health.js';

/** What the management API needs of the centre. */
export interface ManagementDeps extends HealthDeps {
  admin: RegistryAdmin;
  registry: RegistryView;
  journal: JournalReader;
  deliveries: DeliveryAdmin;
  access: Access;
  audit: AuditStore;
  caller: Pick<ListenerCaller, 'call'>;
  broker: Pick<Broker, 'depth'>;
  clock: Clock;
  log: Log;
  /** `POST /events` with a token, answered behind the check of the token and of the role `operator`. */
  publishEvents?: Router;
  /** Path before `/eventmanager/…`, for the document only. */
  contextPath: string;
}
