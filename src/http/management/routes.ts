import { auditRoutes } from './audit-routes.js';
import { deliveryRoutes } from './delivery-routes.js';
import type { RouteRules } from './dependencies.js';
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

/** Every call of the management API, each once. What they need of the centre they are given at each call, by their scope. */
export function managementRoutes(rules: RouteRules): Route[] {
  return [
    ...nodeRoutes(rules),
    ...eventTypeRoutes(rules),
    ...listenerRoutes(rules),
    listenerTestRoute(),
    ...eventRoutes(),
    ...deliveryRoutes(),
    ...failureRoutes(),
    ...replayRoutes(),
    ...statsRoutes(rules),
    ...tokenRoutes(rules),
    ...auditRoutes(),
  ];
}
