import { readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { Router } from 'express';
import swaggerUiPath from 'swagger-ui-dist/absolute-path.js';
import { exactRouter } from './exact-router.js';

const ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'];

const PAGE = `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Event Center API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css">
    <link rel="icon" type="image/png" sizes="32x32" href="/docs/favicon-32x32.png">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`;

// Without `validatorUrl: null` the page would ask a server on the internet to check the document.
const START = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
});
`;

/** `/openapi.json`, and `/docs` that shows it by Swagger UI from the package's own files. */
export function docsRoutes(document: object): Router {
  const router = exactRouter();
  // Written once: anybody may ask for it as often as he likes.
  const text = Buffer.from(JSON.stringify(document));
  router.get('/openapi.json', (_req, res) => {
    res.type('json').send(text);
  });
  router.get('/docs', (_req, res) => {
    res.type('html').send(PAGE);
  });
  router.get('/docs/start.js', (_req, res) => {
    res.type('js').send(START);
  });
  for (const asset of ASSETS) {
    const path = join(swaggerUiPath(), asset);
    // Read once too: a file of its own for each answer would stay open when its peer goes away before its turn.
    const bytes = readFileSync(path);
    const headers = { 'Cache-Control': 'public, max-age=3600', 'Last-Modified': statSync(path).mtime.toUTCString() };
    router.get(`/docs/${asset}`, (_req, res) => {
      res.set(headers).type(extname(asset)).send(bytes);
    });
  }
  return router;
}
