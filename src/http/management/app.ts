import express, { type Express } from 'express';
import helmet from 'helmet';
import type { Log } from '../../core/ports.js';
import { TestPlaces } from '../../core/registry/listener-test.js';
import { authenticate, permit } from './authenticate.js';
import type { ManagementDeps } from './dependencies.js';
import { docsRoutes } from './docs.js';
import { healthRoutes, type HealthDeps } from './health.js';
import { API_PREFIX, mountRoutes, refuseOtherMethods } from './mount-routes.js';
import { openApiDocument } from './openapi.js';
import { notFound, problemHandler } from './problem.js';
import { assignRequestId } from './request-id.js';
import { managementRoutes } from './routes.js';

/**
 * Everything that is answered by Express: the management API under `/api/v1` for bearers of a token, health and
 * metrics, the OpenAPI document and its page. Errors are problem documents of RFC 9457.
 */
export function createManagementApp(deps: ManagementDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  answerExactPaths(app);
  app.set('trust proxy', deps.trustedProxies);
  app.use(assignRequestId, securityHeaders());
  app.use(healthRoutes(deps));

  const routes = managementRoutes(deps);
  const publishes = deps.publishEvents !== undefined;
  app.use(docsRoutes(openApiDocument(routes, { contextPath: deps.contextPath, publishes })));

  app.use(API_PREFIX, authenticate(deps.access));
  mountRoutes(app, routes, { ...deps, testPlaces: new TestPlaces() });
  if (deps.publishEvents !== undefined) {
    app.post(`${API_PREFIX}/events`, permit(PUBLISHING, deps.metrics), ...deps.publishEvents);
  }
  refuseOtherMethods(app, publishes ? [...routes, { method: 'post', path: '/events' }] : routes);

  app.use(notFound);
  app.use(problemHandler(deps.log));
  return app;
}

/** `POST /events`; what answers it bounds what is sent to the caller's node. */
const PUBLISHING = { role: 'operator', scope: 'node' } as const;

/** What a process without the management API answers: health and metrics. */
export function createHealthApp(deps: HealthDeps & { log: Log }): Express {
  const app = express();
  app.disable('x-powered-by');
  answerExactPaths(app);
  app.use(assignRequestId, securityHeaders());
  app.use(healthRoutes(deps));
  app.use(notFound);
  app.use(problemHandler(deps.log));
  return app;
}

/** As `exactRouter`. To be called before anything is mounted. */
function answerExactPaths(app: Express): void {
  app.enable('case sensitive routing').enable('strict routing');
}

/**
 * Helmet's headers for pages that load nothing from elsewhere. The centre may be reached by plain HTTP, so browsers are
 * not sent to HTTPS. Swagger UI sets inline styles and has images and fonts in data urls.
 */
function securityHeaders() {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        fontSrc: ["'self'", 'data:'],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    strictTransportSecurity: false,
  });
}
