import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from './types/compile.js';

const ROOT = join(__dirname, '..', '..');
const README = readFileSync(join(ROOT, 'sdk', 'README.md'), 'utf8');
const { exports } = JSON.parse(readFileSync(join(ROOT, 'sdk', 'package.json'), 'utf8'));
const PARTS = Object.keys(exports)
  .filter((path) => path !== './package.json')
  .map((path) => path.slice('.'.length));

/** What the snippets take from the application around them. */
const APPLICATION = `
  interface Order { orderId: string }
  declare function reserveStock(payload: unknown): Promise<void>;
  declare function orderOf(payload: unknown): Order;
  declare const order: Order;
  declare function book(orderId: string, tenantCode: string | null): Promise<void>;
  declare function readOrderV2(payload: unknown): Order;
  declare function bookV2(order: Order): Promise<void>;
  declare function tellSomebody(eventId: string, reason: string): Promise<void>;
  declare function keep(event: { id: string }, handler: string): void;
  declare function keepForLater(uuid: string | null): Promise<void>;
  declare function audit(event: { id: string }): Promise<void>;
  declare const app: import('express').Express;
  declare const dataSource: import('typeorm').DataSource;
  declare const billing: {
    invoice(eventId: string, order: Order, options: { signal: AbortSignal }): Promise<void>;
    cancelDraft(order: Order): Promise<void>;
  };
  declare class BillingPlugin { doAction(): Promise<void> }
  declare const host: import('@event-center/sdk/plugins').EventListenerHost;
`;
const EVENTS = `export interface Events { 'SHOP/ORDER_CREATED': { orderId: string } }`;

function snippetsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, text]) => text ?? '');
}

it('has snippets that compile against the sources', () => {
  const snippets = snippetsOf(README);
  expect(snippets.length).toBeGreaterThan(10);
  const files = Object.fromEntries(snippets.map((text, place) => [`snippet-${place + 1}.mts`, text]));
  const paths = Object.fromEntries(
    PARTS.map((part) => [`@event-center/sdk${part}`, [join(ROOT, 'sdk', 'src', part, 'index.ts')]]),
  );
  const found = compile(
    { ...files, 'application.d.ts': APPLICATION, 'events.d.ts': EVENTS },
    { packages: join(ROOT, 'node_modules'), options: { paths, types: ['node'], skipLibCheck: true } },
  );
  expect(found).toEqual([]);
});

it('shows nothing in a language that this does not compile', () => {
  const languages = [...README.matchAll(/^```(\w+)$/gm)].map(([, language]) => language);
  expect(new Set(languages)).toEqual(new Set(['ts', 'sh']));
});

it('names every entry point, with what it exports', () => {
  for (const part of PARTS) {
    const row = README.split('\n').find((line) => line.startsWith(`| \`@event-center/sdk${part}\` `));
    const source = readFileSync(join(ROOT, 'sdk', 'src', part, 'index.ts'), 'utf8');
    const names = [...(row?.split('|')[3] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name);
    expect([part, names.length]).not.toEqual([part, 0]);
    for (const name of names) expect(source).toMatch(new RegExp(`\\b${name}\\b`));
  }
});

it('links to headings and files that are there', () => {
  const headings = [...README.matchAll(/^#+ (.*)$/gm)].map(
    ([, text]) => `#${text?.toLowerCase().replaceAll(' ', '-')}`,
  );
  const links = [...README.matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link ?? '');
  expect(links.length).toBeGreaterThan(10);
  expect(links.filter((link) => link.startsWith('#') && !headings.includes(link))).toEqual([]);
  for (const [, example] of README.matchAll(/`examples\/([\w-]+)`/g)) {
    expect(readdirSync(join(ROOT, 'examples'))).toContain(example);
  }
});
