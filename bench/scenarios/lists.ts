/** Millions of stored events: every list call of the management API, and what the worker asks the journal by itself. */
import { request } from 'undici';
import { withCentre, withOwnDatabase } from '../centres.js';
import { measureChores, type Chore } from '../journal-chores.js';
import { fillJournal, SPAN_MS, type Filled, type FilledListener } from '../journal-filling.js';
import { listCalls, type ListCall } from '../list-calls.js';
import { quantile } from '../measure.js';
import type { BenchOptions } from '../options.js';
import { create, type Api } from '../registration.js';
import { atMost, tenths, type Scenario, type ScenarioResult } from '../scenario.js';
import { queryRows } from '../surroundings.js';

const NODES = 40;
const TYPES = 100;
const SOURCES = 10;
/** No list: it counts the rows of a range. */
const STATISTICS = '/stats';
const MEDIAN_MS = 50;
const WARM_UP_CALLS = 2;
/** What a server for so many rows has, beside the default of 128 MB. */
const BUFFER_POOL_BYTES = 2 * 1024 ** 3;
const EMBEDDED = { EVENT_CENTER_BROKER_URL: 'embedded:' };

interface Timed extends ListCall {
  page: 'first' | 'deep';
  medianMs: number;
  p95Ms: number;
}

export const lists: Scenario = {
  name: 'lists',
  title: 'every list call over five million stored events, on a MariaDB of its own',
  minutes: 15,
  run: (options) =>
    withOwnDatabase(async (databaseUrl) => {
      await queryRows(databaseUrl, `SET GLOBAL innodb_buffer_pool_size = ${BUFFER_POOL_BYTES}`);
      const environment = { ...EMBEDDED, EVENT_CENTER_DATABASE_URL: databaseUrl, ...options.settings };
      const listeners = await withCentre({ environment }, {}, registerMany);
      const now = Date.now();
      const filled = await fillJournal(databaseUrl, { rows: options.rows, now, listeners });
      console.log(`filled in ${filled.seconds} s: ${JSON.stringify(filled.rows)}`);
      const timed = await withCentre({ environment }, {}, (api) => timeAll(api, listCalls(now, listeners), options));
      const chores = await measureChores(databaseUrl, { now, listener: listeners[0] as FilledListener });
      return resultOf(timed, chores, { filled, options });
    }),
};

/** Some sources with many types, told to one or two of the nodes. */
async function registerMany(api: Api): Promise<FilledListener[]> {
  for (let node = 0; node < NODES; node += 1) await create(api, '/nodes', { nodeCode: `NODE-${node}` });
  const listeners: FilledListener[] = [];
  for (let index = 0; index < TYPES; index += 1) {
    const [sourceId, eventType] = [`NODE-${index % SOURCES}`, `TYPE-${index}`];
    const type = await create(api, '/event-types', { sourceId, eventTypeCode: eventType });
    const eventTypeId = String(type['id']);
    for (let place = 0; place < (index % 5 === 0 ? 2 : 1); place += 1) {
      const nodeCode = `NODE-${(index + place) % NODES}`;
      const listener = await create(api, '/listeners', {
        ...{ name: `listener ${index} ${place}`, nodeCode, eventTypeId },
        url: 'http://127.0.0.1:9/',
      });
      const operIndex = Number(listener['operIndex']);
      listeners.push({ listenerId: String(listener['id']), nodeCode, operIndex, eventTypeId, sourceId, eventType });
    }
  }
  return listeners;
}

async function timeAll(api: Api, calls: ListCall[], options: BenchOptions): Promise<Timed[]> {
  const timed: Timed[] = [];
  for (const call of calls) {
    timed.push(await timeOne(api, { ...call, page: 'first' }, options));
    const cursor = await deepCursor(api, call);
    if (cursor === null) continue;
    timed.push(await timeOne(api, { path: call.path, query: { ...call.query, cursor }, page: 'deep' }, options));
  }
  return timed;
}

async function timeOne(api: Api, call: ListCall & Pick<Timed, 'page'>, options: BenchOptions): Promise<Timed> {
  for (let warmUp = 0; warmUp < WARM_UP_CALLS; warmUp += 1) await get(api, call);
  const times: number[] = [];
  for (let repeat = 0; repeat < options.repeats; repeat += 1) {
    const begunAt = performance.now();
    await get(api, call);
    times.push(performance.now() - begunAt);
  }
  times.sort((a, b) => a - b);
  const timed = { ...call, medianMs: quantile(times, 0.5), p95Ms: quantile(times, 0.95) };
  if (timed.medianMs >= MEDIAN_MS) console.log(`slow: ${nameOf(timed)}: ${timed.medianMs} ms`);
  return timed;
}

/** A cursor into the middle of the list: where the page ends that begins there; null for lists without one. */
async function deepCursor(api: Api, { path, query }: ListCall): Promise<string | null> {
  if (!['/events', '/deliveries', '/failures'].includes(path) || 'to' in query) return null;
  const to = new Date(Date.now() - SPAN_MS / 2).toISOString();
  const { nextCursor } = await get(api, { path, query: { ...query, to } });
  return typeof nextCursor === 'string' ? nextCursor : null;
}

async function get(api: Api, { path, query }: ListCall): Promise<Record<string, unknown>> {
  const url = `${api.url}/api/v1${path}?${new URLSearchParams(query).toString()}`;
  const answer = await request(url, { headers: { authorization: `Bearer ${api.token}` } });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`GET ${url} answered ${answer.statusCode}: ${text}`);
  return JSON.parse(text) as Record<string, unknown>;
}

function nameOf({ path, query, page }: Timed): string {
  const { cursor: _, ...filters } = query;
  return `${path} ${new URLSearchParams(filters).toString()}${page === 'deep' ? ' (deep page)' : ''}`.trim();
}

function resultOf(
  timed: Timed[],
  chores: Chore[],
  { filled, options }: { filled: Filled; options: BenchOptions },
): ScenarioResult {
  const worstOf = (some: Timed[]): Timed => some.reduce((worst, one) => (one.medianMs > worst.medianMs ? one : worst));
  const lists = timed.filter(({ path }) => path !== STATISTICS);
  const slowest = worstOf(lists).medianMs;
  const paths = [...new Set(timed.map(({ path }) => path))];
  const rows = Object.entries(filled.rows).map(([table, count]) => `${count} in \`${table}\``);
  return {
    goals: [atMost(`slowest median of ${lists.length} calls of lists`, slowest, { most: MEDIAN_MS, unit: 'ms' })],
    tables: [
      {
        title: `Calls over HTTP, each ${options.repeats} times`,
        columns: ['call', 'combinations', 'median of medians ms', 'slowest median ms', 'its p95 ms', 'the slowest'],
        rows: paths.map((path) => {
          const some = timed.filter((one) => one.path === path);
          const worst = worstOf(some);
          const middle = quantile(
            some.map(({ medianMs }) => medianMs).sort((a, b) => a - b),
            0.5,
          );
          return [path, some.length, middle, worst.medianMs, worst.p95Ms, nameOf(worst)];
        }),
      },
      {
        title: 'What the worker asks by itself',
        columns: ['chore', 'times', 'median ms', 'most ms'],
        rows: chores.map(({ name, times }) => [
          name,
          times.length,
          quantile(
            [...times].sort((a, b) => a - b),
            0.5,
          ),
          tenths(Math.max(...times)),
        ]),
      },
    ],
    notes: [`Rows: ${rows.join(', ')}; filled in ${filled.seconds} s.`],
    plots: [],
    raw: { filled, timed, chores },
  };
}
