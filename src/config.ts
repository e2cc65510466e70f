import { existsSync, readFileSync } from 'node:fs';
import { LineCounter, parse, YAMLParseError } from 'yaml';
import type { z } from 'zod';
import { configSchema, MASTER_KEY_RULE } from './config-schema.js';
import { EventCenterError, type FieldError } from './core/errors.js';
import { ruleOfIssue } from './core/registry/schema-issue.js';

type ParsedConfig = z.infer<typeof configSchema>;

/** The configuration after defaults that depend on other options are filled in. */
export type Config = ParsedConfig & {
  database: { url: string; autoMigrate: boolean };
  callback: {
    addresses: 'development' | 'production';
    /** How many names can be looked up at a time; follows UV_THREADPOOL_SIZE. */
    lookupThreads: number;
  };
};

/** Environment variables whose names do not follow from the option's path. */
const ENVIRONMENT_ALIASES: Record<string, string> = {
  'http.host': 'EVENT_CENTER_HOST',
  'http.port': 'EVENT_CENTER_PORT',
  'ingest.clockSkewMs': 'EVENT_CENTER_CLOCK_SKEW_MS',
  'database.autoMigrate': 'EVENT_CENTER_AUTO_MIGRATE',
  'delivery.retryDelaysMs': 'EVENT_CENTER_RETRY_DELAYS_MS',
};

/** Variables of the tests and benchmarks, and of the SDK in the same shell: no options, and no mistakes either. */
const OTHER_VARIABLES = /^EVENT_CENTER_((TEST|BENCH)_.*|URL|APP_ID|APP_KEY|CONTEXT_PATH|ALGORITHM|TOKEN)$/;

const NO_SUCH_OPTION = 'there is no such option';

/** Where a config file is named. */
const CONFIG_FILE_VARIABLE = 'EVENT_CENTER_CONFIG';

/** The environment variable of an option, such as `EVENT_CENTER_INGEST_MAX_BODY_BYTES` for `ingest.maxBodyBytes`. */
export function environmentName(path: string): string {
  return (
    ENVIRONMENT_ALIASES[path] ??
    `EVENT_CENTER_${path
      .replace(/([A-Z])/g, '_$1')
      .replaceAll('.', '_')
      .toUpperCase()}`
  );
}

/** Dotted paths of all options. */
export function optionPaths(): string[] {
  return pathsOf(configSchema.parse({}), '');
}

function pathsOf(section: object, prefix: string): string[] {
  return Object.entries(section).flatMap(([name, value]: [string, unknown]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? pathsOf(value, `${prefix}${name}.`)
      : [`${prefix}${name}`],
  );
}

/**
 * Reads the configuration: the file named by `file` or `EVENT_CENTER_CONFIG`, overridden by the environment.
 * @throws CONFIG_INVALID naming every option that is wrong, its rule and its environment variable.
 */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env, file?: string): Config {
  const merged = readConfigFile(file ?? environment[CONFIG_FILE_VARIABLE]);
  const known = new Set([CONFIG_FILE_VARIABLE]);
  for (const path of optionPaths()) {
    const variable = environmentName(path);
    known.add(variable);
    const value = environment[variable];
    if (value !== undefined && value !== '') setPath(merged, path, value);
  }
  const unknown = Object.keys(environment).filter(
    (name) => name.startsWith('EVENT_CENTER_') && !known.has(name) && !OTHER_VARIABLES.test(name),
  );
  const parsed = configSchema.safeParse(merged, { error: ruleOfIssue });
  const fields = parsed.success ? [] : parsed.error.issues.flatMap(fieldsOf);
  for (const name of unknown) fields.push({ path: name, message: NO_SUCH_OPTION });
  if (!parsed.success || fields.length > 0) throw invalidConfig(fields);
  return complete(parsed.data, environment);
}

function fieldsOf(issue: z.core.$ZodIssue): FieldError[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: namedWithVariable(issue.path), message: issue.message }];
  return issue.keys.map((key) => ({ path: [...issue.path, key].join('.'), message: NO_SUCH_OPTION }));
}

/** `http.port (EVENT_CENTER_PORT)`; a section or an unknown place has no variable. */
function namedWithVariable(issuePath: readonly PropertyKey[]): string {
  const option = optionPaths().find((path) => path === issuePath.slice(0, path.split('.').length).join('.'));
  return option === undefined ? issuePath.join('.') || 'file' : `${option} (${environmentName(option)})`;
}

function complete(parsed: ParsedConfig, environment: NodeJS.ProcessEnv): Config {
  const url = parsed.database.url ?? `sqlite:${parsed.dataDir}/event-center.sqlite`;
  const embedded = parsed.broker.url === 'embedded:';
  const sqlite = url.startsWith('sqlite:');
  if (embedded && parsed.role !== 'all') {
    throw invalidConfig([
      {
        path: 'role (EVENT_CENTER_ROLE)',
        message: 'expected all: the embedded broker lives in one process; use RabbitMQ for several',
      },
    ]);
  }
  if (parsed.masterKey === null && !(embedded && sqlite)) {
    throw invalidConfig([{ path: 'masterKey (EVENT_CENTER_MASTER_KEY)', message: MASTER_KEY_RULE }]);
  }
  if (parsed.masterKey === null && parsed.masterKeyPrevious.length > 0) {
    throw invalidConfig([
      {
        path: 'masterKeyPrevious (EVENT_CENTER_MASTER_KEY_PREVIOUS)',
        message: 'expected masterKey (EVENT_CENTER_MASTER_KEY) beside it, the key that replaces them',
      },
    ]);
  }
  const addresses =
    parsed.callback.addresses ?? (environment['NODE_ENV'] === 'production' ? 'production' : 'development');
  return {
    ...parsed,
    database: { ...parsed.database, url, autoMigrate: parsed.database.autoMigrate ?? sqlite },
    callback: { ...parsed.callback, addresses, lookupThreads: lookupThreads(environment['UV_THREADPOOL_SIZE']) },
  };
}

/** libuv lets look-ups have half of its threads, 4 by default, and reads their number as here. */
function lookupThreads(poolSize = '4'): number {
  const threads = Math.min(Math.max(Number.parseInt(poolSize, 10) || 1, 1), 1024);
  return Math.floor((threads + 1) / 2);
}

function invalidConfig(fields: FieldError[]): EventCenterError {
  const lines = fields.map((field) => `  ${field.path}: ${field.message}`);
  return new EventCenterError('CONFIG_INVALID', `the configuration is wrong:\n${lines.join('\n')}`, { fields });
}

function readConfigFile(file: string | undefined): Record<string, unknown> {
  if (file === undefined || file === '') return {};
  const content = parseConfigFile(file);
  if (content === null) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw invalidConfig([{ path: file, message: 'expected sections and options, see config/default.yaml' }]);
  }
  return content as Record<string, unknown>;
}

function parseConfigFile(file: string): unknown {
  if (!existsSync(file))
    throw invalidConfig([{ path: file, message: `there is no such file (--config or ${CONFIG_FILE_VARIABLE})` }]);
  const lineCounter = new LineCounter();
  try {
    // A pretty error would repeat the line that it is about, with the secret that may stand there.
    return parse(readFileSync(file, 'utf8'), { prettyErrors: false, logLevel: 'error', lineCounter });
  } catch (error) {
    const at = error instanceof YAMLParseError ? ` (line ${String(lineCounter.linePos(error.pos[0]).line)})` : '';
    const reason = error instanceof Error ? error.message : 'unreadable';
    throw invalidConfig([{ path: file, message: `expected YAML: ${reason}${at}` }]);
  }
}

function setPath(target: Record<string, unknown>, path: string, value: string): void {
  const names = path.split('.');
  const last = names.pop() as string;
  let section = target;
  for (const name of names) {
    const next = section[name];
    if (typeof next === 'object' && next !== null) {
      section = next as Record<string, unknown>;
    } else {
      const created: Record<string, unknown> = {};
      section[name] = created;
      section = created;
    }
  }
  section[last] = value;
}
