import { auditRoutes } from './audit-routes.js';
import { deliveryRoutes } from './delivery-routes.js';
import type { ManagementDeps } from './dependencies.js';
import { eventRoutes } from './event-routes.js';
import { eventTypeRoutes } from './event-type-routes.js';
import { failureRoutes } from './failure-routes.js';
import { listenerRoutes } from './listener-routes.js';
import { listenerTestRoute } from './listener-test-route.js';
import { nodeRoutes } from './node-routes.js';
import { replayRoutes } from './replay-routes.js';
import type { Route } from './route.js';
import { statsRoutes } from './stats-routes.js';
import { tokenRoutes } from './token-routes.js';

/** Every call of the management API, each once. */
export function managementRoutes(deps: ManagementDeps): Route[] {
  return [
    ...nodeRoutes(deps),
    ...eventTypeRoutes(deps),
    ...listenerRoutes(deps),
    listenerTestRoute(deps),
    ...eventRoutes(deps),
    ...deliveryRoutes(deps),
    ...failureRoutes(deps),
    ...replayRoutes(deps),
    ...statsRoutes(deps),
    ...tokenRoutes(deps),
    ...auditRoutes(deps),
  ];
}
