import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { configSchema } from '../../src/config-schema.js';
import { environmentName, optionPaths } from '../../src/config.js';
import { PrometheusMetrics } from '../../src/metrics.js';

const README = 'README.md';
const FILES = [README, 'README.zh-CN.md'];

/** Rows of the configuration table: option, environment variable, default, without the code marks. */
function optionRows(file: string): string[][] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes('| `EVENT_CENTER_'))
    .map((line) => {
      const [, option, variable, value] = line.split('|');
      return [option, variable, value].map((cell) => (cell ?? '').trim().replace(/^`|`$/g, ''));
    });
}

function defaultOf(path: string): string {
  const value = path
    .split('.')
    .reduce<unknown>((section, name) => (section as Record<string, unknown>)[name], configSchema.parse({}));
  if (Array.isArray(value)) return `[${value.join(', ')}]`;
  return String(value);
}

/** Depth of each heading, so that translations keep one structure. */
function outline(file: string): string[] {
  const text = readFileSync(file, 'utf8').replace(/^```[^]*?^```/gm, '');
  return text.match(/^#+(?= )/gm) ?? [];
}

function shellBlocks(file: string): string[] {
  const blocks = readFileSync(file, 'utf8').match(/^ *```(?:sh|sql|json)\n[^]*?^ *```/gm) ?? [];
  return blocks.map((block) => block.replace(/ *# .*$/gm, ''));
}

describe.each(FILES)('%s', (file) => {
  it('has a row for every option with its variable and its default', () => {
    expect(optionRows(file)).toEqual(optionPaths().map((path) => [path, environmentName(path), defaultOf(path)]));
  });

  it('names only files that exist', () => {
    const text = readFileSync(file, 'utf8');
    const named = [...text.matchAll(/`((?:src|sdk|bench|examples|config|migrations)\/[A-Za-z0-9./-]*)`/g)].map(
      (match) => match[1] as string,
    );
    expect(named.filter((target) => !existsSync(target))).toEqual([]);
  });
});

describe('every page', () => {
  const docs = readdirSync('docs', { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name));
  const pages = [...FILES, 'CHANGELOG.md', 'bench/README.md', 'sdk/README.md', ...docs].filter((name) =>
    name.endsWith('.md'),
  );

  it.each(pages)('%s leads only to files and headings that exist', (page) => {
    const links = [...readFileSync(page, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] as string);
    const wrong = links.filter((link) => {
      if (/^https?:/.test(link)) return false;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : join(dirname(page), path);
      return !existsSync(target) || (anchor !== undefined && !anchorsOf(target).includes(anchor));
    });
    expect(wrong).toEqual([]);
  });
});

/** What the headings of a page are called in links. */
function anchorsOf(page: string): string[] {
  const headings = readFileSync(page, 'utf8').match(/^#+ .*$/gm) ?? [];
  return headings.map((heading) =>
    heading
      .replace(/^#+ /, '')
      .toLowerCase()
      .replace(/[^\p{Letter}\p{Number} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('the Chinese readme', () => {
  it('has the headings of the English one', () => {
    expect(outline('README.zh-CN.md')).toEqual(outline(README));
  });

  it('has its commands, but for comments and names in quotes', () => {
    const plain = (file: string): string[] =>
      shellBlocks(file).map((block) =>
        block.replace(/"(name|nodeName)":"[^"]*"/g, '"$1":…').replace(/-t '[^']*'/g, ''),
      );
    expect(plain('README.zh-CN.md')).toEqual(plain(README));
  });
});

describe('docs/operations.md', () => {
  it('explains every metric of ours and no other', async () => {
    const exposed = await new PrometheusMetrics({ now: () => Date.now() }).render();
    const ours = [...exposed.matchAll(/^# HELP event_center_(\S+)/gm)].map((match) => match[1] as string);
    const text = readFileSync('docs/operations.md', 'utf8');
    const table = text.slice(text.indexOf('| metric |'), text.indexOf('Incidents by name'));
    const rows = table.split('\n').map((line) => line.split('|')[1] ?? '');
    const explained = rows.flatMap((cell) => [...cell.matchAll(/`([a-z_]+)/g)].map((match) => match[1] as string));
    expect(explained.sort()).toEqual(ours.sort());
  });
});
