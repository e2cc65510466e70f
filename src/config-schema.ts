import { z } from 'zod';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const flag = z.union(
  [
    z.boolean(),
    z
      .enum(['true', 'false', '1', '0', 'on', 'off', 'yes', 'no'])
      .transform((text) => ['true', '1', 'on', 'yes'].includes(text)),
  ],
  'expected true or false',
);

function whole(min: number, max: number = Number.MAX_SAFE_INTEGER) {
  const rule =
    max === Number.MAX_SAFE_INTEGER
      ? `expected a whole number of at least ${min}`
      : `expected a whole number from ${min} to ${max}`;
  return z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^-?\d+$/)
          .transform(Number),
      ],
      rule,
    )
    .pipe(z.int(rule).min(min, rule).max(max, rule));
}

/** A list, or a text with its items between commas. */
function commaSeparated<Item extends z.ZodType>(list: z.ZodArray<Item>, rule: string) {
  const written = z.string().transform((text): unknown[] => text.split(',').map((part) => part.trim()));
  return z.union([list, written.pipe(list)], rule);
}

const DELAYS_RULE = 'expected 1 to 20 delays of 1 to 604800000 ms, separated by commas';
const delaysMs = commaSeparated(
  z
    .array(whole(1, 7 * DAY_MS))
    .min(1, DELAYS_RULE)
    .max(20, DELAYS_RULE),
  DELAYS_RULE,
);

const NAMES_RULE = 'expected names without commas and spaces around them, separated by commas';
const names = commaSeparated(z.array(z.string(NAMES_RULE).regex(/^[^\s,](?:[^,]*[^\s,])?$/, NAMES_RULE)), NAMES_RULE);

const NETWORKS_RULE = 'expected networks such as 10.1.0.0/16, 10.2.3.4 or fd12::/48, separated by commas';
const networks = commaSeparated(
  z.array(z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], NETWORKS_RULE)),
  NETWORKS_RULE,
);

/** What `masterKey` must look like. */
export const MASTER_KEY_RULE = 'expected 64 hexadecimal digits (32 bytes); make one with: openssl rand -hex 32';

const MASTER_KEY = /^[0-9a-fA-F]{64}$/;

const PREVIOUS_RULE = 'expected master keys of 64 hexadecimal digits each, separated by commas';
const masterKeys = commaSeparated(z.array(z.string(PREVIOUS_RULE).regex(MASTER_KEY, PREVIOUS_RULE)), PREVIOUS_RULE);

/**
 * Every option with its rule and default. `config/default.yaml` explains each in a sentence; a test keeps the two
 * equal. An empty environment variable counts as not set.
 */
export const configSchema = z.strictObject({
  /** What this process does: accept (`api`), deliver and record (`worker`), or both (`all`). */
  role: z.enum(['api', 'worker', 'all']).default('all'),
  /** Folder for what the process keeps itself: the embedded broker, SQLite, the generated master key, the registry snapshot. */
  dataDir: z.string().min(1).default('data'),
  /** 32 bytes in hex that encrypt secrets at rest. */
  masterKey: z.string().regex(MASTER_KEY, MASTER_KEY_RULE).nullable().default(null),
  /** Earlier master keys, which still open what was sealed under them while the key is being replaced. */
  masterKeyPrevious: masterKeys.default([]),
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
      /** Open connections of a process; beyond, the address that has the most makes room. */
      maxConnections: whole(10, 1_000_000).default(10_000),
      /** Whose `X-Forwarded-For` is believed. */
      trustedProxies: networks.default([]),
    })
    .prefault({}),
  access: z
    .strictObject({
      /** Too many tokens that are not known lock their address for a while. */
      lockout: z
        .strictObject({
          failures: whole(0, 1_000_000).default(20),
          windowMs: whole(1_000, 24 * HOUR_MS).default(60_000),
          durationMs: whole(1_000, 24 * HOUR_MS).default(60_000),
        })
        .prefault({}),
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
      trustedUsers: names.default([]),
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
      /** Bytes of all bodies that are not complete; beyond, the oldest are refused. */
      maxBufferedBytes: whole(64 * 1024).default(128 * 1024 * 1024),
      requireTenant: flag.default(false),
      idempotencyTtlMs: whole(1_000).default(24 * HOUR_MS),
      revealUnknownApp: flag.default(true),
      refuseReplays: flag.default(false),
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
  callback: z
    .strictObject({
      /** Which addresses listeners may have, apart from the networks below; null follows NODE_ENV. */
      addresses: z.enum(['development', 'production']).nullable().default(null),
      allowedNetworks: networks.default([]),
      deniedNetworks: networks.default([]),
    })
    .prefault({}),
  journal: z
    .strictObject({
      batchRows: whole(1, 5_000).default(500),
      batchBytes: whole(64 * 1024).default(4 * 1024 * 1024),
      flushMs: whole(1, 60_000).default(50),
      outcomeWaitMs: whole(1, 60_000).default(500),
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
