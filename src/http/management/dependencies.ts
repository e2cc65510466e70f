import type { RequestHandler } from 'express';
import type { Access } from '../../core/access/access.js';
import type {
  AuditStore,
  Broker,
  Clock,
  DeliveryAdmin,
  JournalReader,
  ListenerCaller,
  Log,
  Metrics,
} from '../../core/ports.js';
import type { RegistryAdmin } from '../../core/registry/registry-admin.js';
import type { RegistryView } from '../../core/registry/registry.js';
import type { HealthDeps } from './health.js';

/** What routes are made with: rules about fields, which tell nothing of what is registered, and the time. */
export interface RouteRules {
  admin: {
    nodes: Pick<RegistryAdmin['nodes'], 'rulesBroken' | 'rotationRulesBroken'>;
    eventTypes: Pick<RegistryAdmin['eventTypes'], 'rulesBroken'>;
    listeners: Pick<RegistryAdmin['listeners'], 'rulesBroken' | 'changeRulesBroken'>;
  };
  access: Pick<Access, 'rulesBroken'>;
  clock: Clock;
}

/** What the management API needs of the centre. */
export interface ManagementDeps extends HealthDeps {
  metrics: HealthDeps['metrics'] & Pick<Metrics, 'callerRefused'>;
  /** Networks whose word about where a call comes from is taken (`X-Forwarded-For`). */
  trustedProxies: string[];
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
  /** `POST /events` with a token, answered behind the checks of the token, its role `operator` and its scope. */
  publishEvents?: RequestHandler[];
  /** Path before `/eventmanager/…`, for the document only. */
  contextPath: string;
}
