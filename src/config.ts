import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { EventCenterError } from './core/errors.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const flag = z.union([
  z.boolean(),
  z
    .enum(['true', 'false', '1', '0', 'on', 'off', 'yes', 'no'])
    .transform((text) => ['true', '1', 'on', 'yes'].includes(text)),
]);
const whole = (min: number, max: number = Number.MAX_SAFE_INTEGER) => z.coerce.number().int().min(min).max(max);
const delayMs = whole(1, 7 * DAY_MS);
const delaysMs = z
  .union([
    z.array(delayMs),
    z
      .string()
      .transform((text): unknown[] => text.split(',').map((part) => part.trim()))
      .pipe(z.array(delayMs)),
  ])
  .refine((delays) => delays.length >= 1 && delays.length <= 20, 'expected 1 to 20 delays in ms, separated by commas');

const MASTER_KEY_RULE = 'expected 64 hexadecimal digits (32 bytes); make one with: openssl rand -hex 32';

/**
 * Every option with its rule and default. `config/default.yaml` explains each in a sentence; a test keeps the two
 * equal. An empty environment variable counts as not set.
 */
const configSchema = z.strictObject({
  /** What this process does: accept (`api`), deliver and record (`worker`), or both (`all`). */
  role: z.enum(['api', 'worker', 'all']).default('all'),
  /** Folder for what the process keeps itself: the embedded broker, SQLite, the generated master key, the registry snapshot. */
  dataDir: z.string().min(1).default('data'),
  /** 32 bytes in hex that encrypt secrets at rest. */
  masterKey: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, MASTER_KEY_RULE)
    .nullable()
    .default(null),
  /** Bearer token that is `admin` without standing in the database. */
  adminToken: z.string().min(16, 'expected at least 16 characters').nullable().default(null),
  http: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1'),
      port: whole(0, 65_535).default(8080),
      /** Path before `/eventmanager/…`. */
      contextPath: z
        .string()
        .regex(/^(\/[A-Za-z0-9._~-]+)*$/, 'expected a path such as /event, without a slash at its end')
        .default('/event'),
    })
    .prefault({}),
  broker: z
    .strictObject({
      url: z
        .string()
        .refine(
          isBrokerUrl,
          'expected embedded:, or amqp(s)://user:password@host:port/vhost, several separated by commas',
        )
        .default('embedded:'),
      prefix: z
        .string()
        .regex(/^[A-Za-z0-9._-]{1,40}$/, 'expected 1 to 40 of A-Z a-z 0-9 . _ -')
        .default('ec.'),
      connectTimeoutMs: whole(100, 60_000).default(5_000),
      confirmTimeoutMs: whole(100, 60_000).default(5_000),
      heartbeatSeconds: whole(1, 300).default(5),
    })
    .prefault({}),
  database: z
    .strictObject({
      url: z
        .string()
        .refine(isDatabaseUrl, 'expected sqlite:<file> or mysql://user:password@host:port/database')
        .nullable()
        .default(null),
      autoMigrate: flag.nullable().default(null),
      poolSize: whole(1, 200).default(10),
      queryTimeoutMs: whole(100, 600_000).default(10_000),
    })
    .prefault({}),
  ingest: z
    .strictObject({
      clockSkewMs: whole(0).default(300_000),
      maxBodyBytes: whole(1_024, 64 * 1024 * 1024).default(1024 * 1024),
      requireTenant: flag.default(false),
      idempotencyTtlMs: whole(1_000).default(24 * HOUR_MS),
      revealUnknownApp: flag.default(true),
    })
    .prefault({}),
  delivery: z
    .strictObject({
      retryDelaysMs: delaysMs.default([5_000, 30_000, 120_000, 600_000, 1_800_000]),
      concurrency: whole(1, 1_000).default(32),
      breakerThreshold: whole(1, 100_000).default(20),
      breakerProbeMs: whole(10, 3_600_000).default(5_000),
      maxBufferedBytes: whole(1024 * 1024).default(64 * 1024 * 1024),
      maxHoldMs: whole(1_000, 1_500_000).default(600_000),
    })
    .prefault({}),
  journal: z
    .strictObject({
      batchRows: whole(1, 5_000).default(500),
      batchBytes: whole(64 * 1024).default(4 * 1024 * 1024),
      flushMs: whole(1, 60_000).default(50),
      sweepIntervalMs: whole(100).default(60_000),
      sweepGraceMs: whole(100).default(900_000),
      dueIntervalMs: whole(10).default(500),
    })
    .prefault({}),
  retention: z
    .strictObject({
      eventsMs: whole(1_000).default(30 * DAY_MS),
      failuresMs: whole(1_000).default(90 * DAY_MS),
      auditMs: whole(1_000).default(365 * DAY_MS),
      intervalMs: whole(100).default(HOUR_MS),
      batchRows: whole(1, 10_000).default(1_000),
    })
    .prefault({}),
  shutdown: z.strictObject({ graceMs: whole(0, 600_000).default(30_000) }).prefault({}),
  log: z.strictObject({ level: z.enum(['error', 'warn', 'info', 'debug']).default('info') }).prefault({}),
});

type ParsedConfig = z.infer<typeof configSchema>;

/** The configuration after defaults that depend on other options are filled in. */
export type Config = ParsedConfig & { database: { url: string; autoMigrate: boolean } };

/** Environment variables whose names do not follow from the option's path (wire page, section 6). */
const ENVIRONMENT_ALIASES: Record<string, string> = {
  'http.host': 'EVENT_CENTER_HOST',
  'http.port': 'EVENT_CENTER_PORT',
  'ingest.clockSkewMs': 'EVENT_CENTER_CLOCK_SKEW_MS',
  'database.autoMigrate': 'EVENT_CENTER_AUTO_MIGRATE',
  'delivery.retryDelaysMs': 'EVENT_CENTER_RETRY_DELAYS_MS',
};

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
  const unknown = Object.keys(environment).filter((name) => name.startsWith('EVENT_CENTER_') && !known.has(name));
  const parsed = configSchema.safeParse(merged);
  const fields = parsed.success
    ? []
    : parsed.error.issues.map((issue) => {
        const path = issue.path.join('.');
        return { path: `${path} (${environmentName(path)})`, message: issue.message };
      });
  for (const name of unknown) fields.push({ path: name, message: 'there is no such option' });
  if (!parsed.success || fields.length > 0) throw invalidConfig(fields);
  return complete(parsed.data);
}

function complete(parsed: ParsedConfig): Config {
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
  return { ...parsed, database: { ...parsed.database, url, autoMigrate: parsed.database.autoMigrate ?? sqlite } };
}

function invalidConfig(fields: { path: string; message: string }[]): EventCenterError {
  const lines = fields.map((field) => `  ${field.path}: ${field.message}`);
  return new EventCenterError('CONFIG_INVALID', `the configuration is wrong:\n${lines.join('\n')}`, { fields });
}

function readConfigFile(file: string | undefined): Record<string, unknown> {
  if (file === undefined || file === '') return {};
  if (!existsSync(file)) throw invalidConfig([{ path: CONFIG_FILE_VARIABLE, message: `there is no file ${file}` }]);
  const content: unknown = parse(readFileSync(file, 'utf8'));
  if (content === null) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw invalidConfig([{ path: file, message: 'expected sections and options, see config/default.yaml' }]);
  }
  return content as Record<string, unknown>;
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

function isBrokerUrl(text: string): boolean {
  if (text === 'embedded:') return true;
  return text.split(',').every((part) => /^amqps?:$/.test(protocolOf(part.trim()) ?? ''));
}

function isDatabaseUrl(text: string): boolean {
  return /^sqlite:.+/.test(text) || (protocolOf(text) === 'mysql:' && new URL(text).pathname.length > 1);
}

function protocolOf(text: string): string | null {
  return URL.canParse(text) ? new URL(text).protocol : null;
}
