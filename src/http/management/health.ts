import type { Router } from 'express';
import type { Readiness } from '../../core/readiness.js';
import { exactRouter } from './exact-router.js';

export interface HealthDeps {
  /** Asked at each `GET /readyz`; must not wait for anybody. */
  readiness: () => Readiness;
  metrics: {
    readonly contentType: string;
    /** The metrics as text for Prometheus. Must end within a bounded time. */
    render(): Promise<string>;
  };
}

/** `/healthz`, `/readyz` and `/metrics`, which need no token (protocol, section 6). */
export function healthRoutes({ readiness, metrics }: HealthDeps): Router {
  const router = exactRouter();
  router.get('/healthz', (_req, res) => {
    res.json({ status: 'ok' });
  });
  router.get('/readyz', (_req, res) => {
    const { ready, degraded, reasons } = readiness();
    const status = ready ? (degraded.length === 0 ? 'ready' : 'degraded') : 'unavailable';
    res.status(ready ? 200 : 503).json({ status, degraded, ...(reasons.length === 0 ? {} : { reasons }) });
  });
  router.get('/metrics', async (_req, res) => {
    const text = await metrics.render();
    res.setHeader('Content-Type', metrics.contentType);
    res.end(text);
  });
  return router;
}
