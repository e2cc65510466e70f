import { existsSync, readFileSync } from 'node:fs';
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

  it('links and names only files that exist', () => {
    const text = readFileSync(file, 'utf8');
    const linked = [...text.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1] as string);
    const named = [...text.matchAll(/`((?:src|sdk|bench|examples|config|migrations)\/[A-Za-z0-9./-]*)`/g)].map(
      (match) => match[1] as string,
    );
    const missing = [...linked.filter((target) => !target.startsWith('http')), ...named].filter(
      (target) => !existsSync(target),
    );
    expect(missing).toEqual([]);
  });
});

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
