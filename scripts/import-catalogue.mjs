/**
 * Registers the event types of a catalogue, as often as wanted: what is missing is created, what differs is changed,
 * what the catalogue does not name stays as it is.
 *
 *   node scripts/import-catalogue.mjs --url http://127.0.0.1:8080 --token ec_… catalogues/approval.json
 *     [--owner NODE]         the node that may send these types; without it a new type is everybody's (ALL)
 *     [--language zh | en]   names in one language; without it in both
 *
 * catalogues/README.md describes the file. Ends with 0 when the registry is as the catalogue says, with 1 when something
 * was refused, with 2 when it was called wrongly.
 */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { ManagementApi } from './management-api.mjs';

const LANGUAGES = ['zh', 'en'];

/** @throws Error naming the file, or the place in it and the rule. */
export function readCatalogue(file) {
  let catalogue;
  try {
    catalogue = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file}: ${error.message}`, { cause: error });
  }
  const problems = problemsOf(catalogue);
  if (problems.length > 0) throw new Error(`${file}: ${problems.join('; ')}`);
  return catalogue;
}

/**
 * Brings the registry to what the catalogue says, one type after another.
 * @param options.owner node code or `ALL`; without it the owner of a type that is registered stays.
 * @param options.language `zh` or `en` for names in one language; both by default.
 * @returns the types in the catalogue's order, each `{ id, eventTypeCode, eventTypeName, change }` with `change` one of
 *   `created`, `changed`, `unchanged`. @throws ManagementError at the first type that is refused.
 */
export async function importCatalogue(api, catalogue, { owner, language } = {}) {
  const query = new URLSearchParams({ sourceId: catalogue.sourceId });
  const registered = new Map(
    (await api.all(`/event-types?${query.toString()}`)).map((type) => [type.eventTypeCode, type]),
  );
  const results = [];
  for (const entry of catalogue.eventTypes) {
    const wanted = registrationOf(catalogue, entry, { owner, language });
    const { id, eventTypeName, change } = await bring(api, wanted, registered.get(entry.eventTypeCode)).catch(
      (error) => {
        error.message = `${entry.eventTypeCode}: ${error.message}`;
        throw error;
      },
    );
    results.push({ id, eventTypeCode: entry.eventTypeCode, eventTypeName, change });
  }
  return results;
}

async function bring(api, wanted, registered) {
  if (registered === undefined) return { ...(await api.call('POST', '/event-types', wanted)), change: 'created' };
  const differing = Object.entries(wanted).filter(([field, value]) => !isDeepStrictEqual(registered[field], value));
  if (differing.length === 0) return { ...registered, change: 'unchanged' };
  const { id, version } = registered;
  const changed = await api.call('PATCH', `/event-types/${id}`, Object.fromEntries(differing), { version });
  return { ...changed, change: 'changed' };
}

function registrationOf(catalogue, entry, { owner, language }) {
  const { sourceId, sourceName, definitions } = catalogue;
  const { eventTypeCode, eventTypeName, note, schema } = entry;
  return {
    sourceId,
    sourceName: nameIn(sourceName, language),
    eventTypeCode,
    eventTypeName: nameIn(eventTypeName, language),
    note: note ?? null,
    schema: schema === undefined ? null : withDefinitions(schema, definitions),
    ...(owner === undefined ? {} : { owner }),
  };
}

/** The schema with the definitions that it refers to, directly or through one another: it must stand by itself. */
function withDefinitions(schema, definitions = {}) {
  const needed = new Map();
  const collect = (part) => {
    for (const [, name] of JSON.stringify(part).matchAll(/"#\/\$defs\/([^"/]+)"/g)) {
      if (needed.has(name) || definitions[name] === undefined) continue;
      needed.set(name, definitions[name]);
      collect(definitions[name]);
    }
  };
  collect(schema);
  return needed.size === 0 ? schema : { ...schema, $defs: { ...Object.fromEntries(needed), ...schema.$defs } };
}

function nameIn(name, language) {
  if (name === undefined) return null;
  if (typeof name === 'string') return name;
  if (language !== undefined) return name[language] ?? Object.values(name)[0];
  return LANGUAGES.flatMap((one) => (name[one] === undefined ? [] : [name[one]])).join(' / ');
}

/** Only the form of the file: codes, lengths and schemas are judged by the centre. */
function problemsOf(catalogue) {
  if (!isObject(catalogue)) return ['expected a JSON object'];
  const problems = [];
  const expect = (holds, place, rule) => {
    if (!holds) problems.push(`${place}: expected ${rule}`);
  };
  expect(isText(catalogue.sourceId), 'sourceId', 'a text');
  expect(isName(catalogue.sourceName), 'sourceName', NAME_RULE);
  expect(catalogue.definitions === undefined || isObject(catalogue.definitions), 'definitions', 'an object of schemas');
  if (!Array.isArray(catalogue.eventTypes) || catalogue.eventTypes.length === 0) {
    return [...problems, 'eventTypes: expected a list with at least one event type'];
  }
  const codes = new Set();
  for (const [index, entry] of catalogue.eventTypes.entries()) {
    const place = `eventTypes[${index}]`;
    expect(isObject(entry) && isText(entry.eventTypeCode), `${place}.eventTypeCode`, 'a text');
    if (!isObject(entry)) continue;
    expect(!codes.has(entry.eventTypeCode), `${place}.eventTypeCode`, 'a code that is not in the list before');
    expect(isName(entry.eventTypeName), `${place}.eventTypeName`, NAME_RULE);
    expect(entry.note === undefined || isText(entry.note), `${place}.note`, 'a text, or none');
    expect(entry.schema === undefined || isObject(entry.schema), `${place}.schema`, 'a JSON Schema, or none');
    codes.add(entry.eventTypeCode);
  }
  return problems;
}

const NAME_RULE = 'a text, an object of texts by zh and en, or none';

function isName(value) {
  if (value === undefined || isText(value)) return true;
  if (!isObject(value)) return false;
  const names = Object.entries(value);
  return names.length > 0 && names.every(([language, name]) => LANGUAGES.includes(language) && isText(name));
}

function isText(value) {
  return typeof value === 'string' && value !== '';
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function main() {
  const { url, token, owner, language, file } = readArguments();
  const results = await importCatalogue(new ManagementApi({ url, token }), readCatalogue(file), { owner, language });
  for (const { change, eventTypeCode, eventTypeName } of results) {
    console.log(`${change.padEnd(9)}  ${eventTypeCode}${eventTypeName === null ? '' : `  ${eventTypeName}`}`);
  }
  const counts = ['created', 'changed', 'unchanged'].map(
    (change) => `${results.filter((result) => result.change === change).length} ${change}`,
  );
  console.log(`${results.length} event types: ${counts.join(', ')}`);
}

function readArguments() {
  const text = { type: 'string' };
  const options = { url: text, token: text, owner: text, language: text };
  const { values, positionals } = orUsage(() => parseArgs({ options, allowPositionals: true }));
  const { url, token, language } = values;
  if (url === undefined || token === undefined) throw new UsageError('--url and --token (an admin token) are needed');
  if (positionals.length !== 1) throw new UsageError(`expected one catalogue file, found ${positionals.length}`);
  if (language !== undefined && !LANGUAGES.includes(language)) {
    throw new UsageError(`--language: expected ${LANGUAGES.join(' or ')}, found ${language}`);
  }
  return { ...values, file: positionals[0] };
}

class UsageError extends Error {}

function orUsage(read) {
  try {
    return read();
  } catch (error) {
    throw new UsageError(error.message);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    process.stderr.write(`import-catalogue: ${error.message}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  });
}
