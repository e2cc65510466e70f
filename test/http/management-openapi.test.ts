import request from 'supertest';
import { aManagementApp, type ManagementKit } from '../support/management.js';

let kit: ManagementKit;
let document: any;

beforeAll(async () => {
  kit = await aManagementApp();
  document = (await request(kit.app).get('/openapi.json').expect(200)).body;
});

function documented(): string[] {
  return Object.entries<object>(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method} ${path}`),
  );
}

/** `method /path/{param}` of every route that Express has, routers within routers included. */
function routed(): string[] {
  const found: string[] = [];
  const walk = (stack: any[]): void => {
    for (const layer of stack) {
      if (layer.route !== undefined) {
        // The refusal of other methods answers all of them, a route of the table one.
        const methods = Object.keys(layer.route.methods);
        if (methods.length === 1) found.push(`${methods[0]!} ${String(layer.route.path).replace(/:(\w+)/g, '{$1}')}`);
      } else if (layer.handle.stack !== undefined) {
        walk(layer.handle.stack);
      }
    }
  };
  walk((kit.app as any).router.stack);
  return [...new Set(found)];
}

describe('the OpenAPI document', () => {
  it('is of version 3.1 and resolves all its references', () => {
    expect(document.openapi).toBe('3.1.0');
    const references: string[] = [];
    JSON.stringify(document, (key, value: unknown) => {
      if (key === '$ref') references.push(value as string);
      return value;
    });
    expect(references.length).toBeGreaterThan(20);
    for (const reference of references) {
      const target = reference
        .slice(2)
        .split('/')
        .reduce((at: any, part) => at?.[part], document);
      expect(target).toBeDefined();
    }
  });

  it('names every operation once and declares every parameter of its path', () => {
    const ids = Object.values<any>(document.paths).flatMap((item) =>
      Object.values<any>(item).map((one) => one.operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
    for (const [path, item] of Object.entries<any>(document.paths)) {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      for (const operation of Object.values<any>(item)) {
        const declared = (operation.parameters ?? [])
          .filter((one: any) => one.in === 'path')
          .map((one: any) => one.name);
        expect(declared).toEqual(names);
        expect(operation.summary).toEqual(expect.any(String));
      }
    }
  });

  it('describes every route of Express, and nothing that Express does not have', () => {
    const unlisted = ['get /openapi.json', 'get /docs'];
    const pages = routed().filter((route) => !unlisted.includes(route) && !route.startsWith('get /docs/'));
    const signed = ['sendEventMsg', 'lease', 'settle', 'release', 'claim'];
    const beside = [
      ...signed.map((name) => `post /event/eventmanager/${name}.do`),
      'get /event/eventmanager/eventinfo/index.do',
    ];
    const expected = documented().filter((route) => !beside.includes(route));
    expect(pages.sort()).toEqual(expected.sort());
    expect(documented()).toEqual(expect.arrayContaining(beside));
  });

  it('knows all calls of the protocol', () => {
    expect(
      documented()
        .filter((route) => route.includes('/api/v1'))
        .map((route) => route.replace('/api/v1', ''))
        .sort(),
    ).toEqual([
      'delete /event-types/{id}',
      'delete /listeners/{id}',
      'delete /nodes/{nodeCode}',
      'delete /replays/{id}',
      'delete /tokens/{id}',
      'get /audit',
      'get /deliveries',
      'get /deliveries/{eventId}/{listenerId}',
      'get /event-types',
      'get /event-types/{id}',
      'get /events',
      'get /events/{id}',
      'get /failures',
      'get /listeners',
      'get /listeners/{id}',
      'get /nodes',
      'get /nodes/{nodeCode}',
      'get /replays/{id}',
      'get /stats',
      'get /tokens',
      'patch /event-types/{id}',
      'patch /listeners/{id}',
      'patch /nodes/{nodeCode}',
      'post /deliveries/{eventId}/{listenerId}/cancel',
      'post /deliveries/{eventId}/{listenerId}/retry',
      'post /event-types',
      'post /events',
      'post /listeners',
      'post /listeners/{id}/test',
      'post /nodes',
      'post /nodes/{nodeCode}/rotate-key',
      'post /replays',
      'post /tokens',
    ]);
  });

  it('tells the bounds of fields, which of them are required, and refuses others', () => {
    const { NewNode, NewListener, Node } = document.components.schemas;
    expect(NewNode.required).toEqual(['nodeCode']);
    expect(NewNode.properties.concurrency).toMatchObject({ type: ['integer', 'null'], minimum: 1, maximum: 1000 });
    expect(NewNode.additionalProperties).toBe(false);
    expect(NewListener.required.sort()).toEqual(['name', 'nodeCode']);
    expect(NewListener.properties.timeoutMs).toMatchObject({ minimum: 1000, maximum: 300_000 });
    expect(NewListener.properties.filter.type).toEqual(['object', 'null']);
    expect(Node.properties.lastTime).toMatchObject({ type: 'string', format: 'date-time' });
  });
});

describe('the description of POST /events', () => {
  it('tells each status of a refusal with its codes', () => {
    const { responses } = document.paths['/api/v1/events'].post;
    const statuses = ['202', '207', '400', '401', '403', '413', '415', '422', '429', '500', '503'];
    expect(Object.keys(responses).sort()).toEqual(statuses);
    expect(responses[422].description).toBe('INVALID_PARAM, UNKNOWN_EVENT_TYPE, SCHEMA_MISMATCH, NOT_IMPLEMENTED');
    expect(responses[503].content['application/problem+json'].schema.$ref).toMatch(/Problem$/);
  });
});

describe('the docs page', () => {
  it('loads only what the centre serves itself, and its policy allows that', async () => {
    const page = await request(kit.app).get('/docs').expect(200);
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    const links = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
    expect(links.length).toBeGreaterThanOrEqual(4);
    for (const link of links) {
      expect(link).toMatch(/^\/docs\//);
      const asset = await request(kit.app).get(link).buffer(true).expect(200);
      expect(Number(asset.headers['content-length'])).toBeGreaterThan(100);
    }
    expect(page.text).not.toMatch(/<script>|style=/);
    const policy = page.headers['content-security-policy']!;
    expect(policy).toContain("default-src 'self'");
    expect(policy).not.toContain('upgrade-insecure-requests');
    const start = await request(kit.app).get('/docs/start.js').expect(200);
    expect(start.headers['content-type']).toMatch(/javascript/);
    expect(start.text).toContain("url: '/openapi.json'");
  });

  it('has files that browsers keep for an hour, and ask for again only when they are newer', async () => {
    const bundle = '/docs/swagger-ui-bundle.js';
    const { headers } = await request(kit.app).get(bundle).expect(200);
    expect(headers['content-type']).toBe('text/javascript; charset=utf-8');
    expect(headers['cache-control']).toBe('public, max-age=3600');
    const lastModified = headers['last-modified'] as string;
    await request(kit.app).get(bundle).set('If-Modified-Since', lastModified).expect(304);
  });
});
