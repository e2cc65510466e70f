import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { AddressPolicy } from '../../src/callback/address-policy.js';
import { environmentName, loadConfig, optionPaths, type Config } from '../../src/config.js';
import { EventCenterError } from '../../src/core/errors.js';

const DEFAULT_FILE = 'config/default.yaml';
const MASTER_KEY = 'ab'.repeat(32);

function refusal(environment: NodeJS.ProcessEnv, file?: string): EventCenterError {
  try {
    loadConfig(environment, file);
  } catch (error) {
    if (error instanceof EventCenterError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

function pathsOf(section: object, prefix = ''): string[] {
  return Object.entries(section).flatMap(([name, value]: [string, unknown]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? pathsOf(value, `${prefix}${name}.`)
      : [`${prefix}${name}`],
  );
}

describe('config/default.yaml', () => {
  const text = readFileSync(DEFAULT_FILE, 'utf8');

  it('names every option once and no other', () => {
    expect(pathsOf(parse(text) as object)).toEqual(optionPaths());
  });

  it('says the defaults that hold without it', () => {
    expect(loadConfig({}, DEFAULT_FILE)).toEqual(loadConfig({}));
  });

  it.each(optionPaths())('explains %s in a comment that names its environment variable', (path) => {
    const lines = text.split('\n');
    const variable = new RegExp(`\\b${environmentName(path)}\\b`);
    const name = path.split('.').at(-1) as string;
    const documented = lines.some(
      (line, at) => line.trim().startsWith('#') && variable.test(line) && lines[at + 1]?.trim().startsWith(`${name}:`),
    );
    expect(documented).toBe(true);
  });
});

describe('the readmes', () => {
  it.each(['README.md', 'README.zh-CN.md'])('%s lists every option by its environment variable', (file) => {
    const text = readFileSync(file, 'utf8');
    const missing = optionPaths().filter((path) => !text.includes(`\`${environmentName(path)}\``));
    expect(missing).toEqual([]);
  });

  it.each(['README.md', 'README.zh-CN.md'])('%s names no variable that does not exist', (file) => {
    const known = new Set([...optionPaths().map(environmentName), 'EVENT_CENTER_CONFIG']);
    const named = readFileSync(file, 'utf8').match(/\bEVENT_CENTER_[A-Z_]*[A-Z]\b/g) ?? [];
    expect(named.filter((name) => !known.has(name) && !/^EVENT_CENTER_(TEST|BENCH)_/.test(name))).toEqual([]);
  });
});

describe('reading the configuration', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'event-center-config-'));
  });

  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  function fileWith(text: string): string {
    const file = join(folder, 'config.yaml');
    writeFileSync(file, text);
    return file;
  }

  it.each<[string, string, (config: Config) => unknown, unknown]>([
    ['EVENT_CENTER_HOST', '0.0.0.0', (config) => config.http.host, '0.0.0.0'],
    ['EVENT_CENTER_PORT', '0', (config) => config.http.port, 0],
    ['EVENT_CENTER_AUTO_MIGRATE', 'off', (config) => config.database.autoMigrate, false],
    ['EVENT_CENTER_CLOCK_SKEW_MS', '9007199254740991', (config) => config.ingest.clockSkewMs, 9007199254740991],
    ['EVENT_CENTER_RETRY_DELAYS_MS', '100, 200', (config) => config.delivery.retryDelaysMs, [100, 200]],
    ['EVENT_CENTER_INGEST_MAX_BODY_BYTES', '2048', (config) => config.ingest.maxBodyBytes, 2048],
    ['EVENT_CENTER_DATA_DIR', 'elsewhere', (config) => config.database.url, 'sqlite:elsewhere/event-center.sqlite'],
    ['EVENT_CENTER_PORT', '', (config) => config.http.port, 8080],
  ])('takes %s=%s', (name, value, read, expected) => {
    expect(read(loadConfig({ [name]: value }))).toEqual(expected);
  });

  it('lets the environment override the file', () => {
    const file = fileWith('http:\n  port: 9000\n  host: 0.0.0.0\n');
    expect(loadConfig({ EVENT_CENTER_PORT: '9001', EVENT_CENTER_CONFIG: file }).http).toMatchObject({
      port: 9001,
      host: '0.0.0.0',
    });
  });

  it.each([
    ['EVENT_CENTER_PORT', 'eighty', 'http.port (EVENT_CENTER_PORT): expected a whole number from 0 to 65535'],
    ['EVENT_CENTER_PORT', '65536', 'http.port (EVENT_CENTER_PORT): expected a whole number from 0 to 65535'],
    ['EVENT_CENTER_PORT', '80.5', 'http.port (EVENT_CENTER_PORT): expected a whole number from 0 to 65535'],
    [
      'EVENT_CENTER_CLOCK_SKEW_MS',
      '-1',
      'ingest.clockSkewMs (EVENT_CENTER_CLOCK_SKEW_MS): expected a whole number of at least 0',
    ],
    ['EVENT_CENTER_AUTO_MIGRATE', 'maybe', 'database.autoMigrate (EVENT_CENTER_AUTO_MIGRATE): expected true or false'],
    [
      'EVENT_CENTER_RETRY_DELAYS_MS',
      '5,soon',
      'delivery.retryDelaysMs (EVENT_CENTER_RETRY_DELAYS_MS): expected 1 to 20 delays',
    ],
    [
      'EVENT_CENTER_RETRY_DELAYS_MS',
      new Array(21).fill('5').join(),
      'delivery.retryDelaysMs (EVENT_CENTER_RETRY_DELAYS_MS): expected 1 to 20 delays',
    ],
    ['EVENT_CENTER_BROKER_URL', 'localhost', 'broker.url (EVENT_CENTER_BROKER_URL): expected embedded:, or amqp'],
    [
      'EVENT_CENTER_DATABASE_URL',
      'mysql://db',
      'database.url (EVENT_CENTER_DATABASE_URL): expected sqlite:<file> or mysql://',
    ],
    ['EVENT_CENTER_MASTER_KEY', 'short', 'masterKey (EVENT_CENTER_MASTER_KEY): expected 64 hexadecimal digits'],
    ['EVENT_CENTER_ROLE', 'both', 'role (EVENT_CENTER_ROLE): expected one of api, worker, all, found "both"'],
    ['EVENT_CENTER_PORTT', '80', 'EVENT_CENTER_PORTT: there is no such option'],
  ])('refuses %s=%s and names option, rule and variable', (name, value, message) => {
    const error = refusal({ [name]: value });
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(message);
  });

  it('refuses a file with an empty list of delays by the same rule', () => {
    const error = refusal({ EVENT_CENTER_CONFIG: fileWith('delivery:\n  retryDelaysMs: []\n') });
    expect(error.message).toContain('delivery.retryDelaysMs (EVENT_CENTER_RETRY_DELAYS_MS): expected 1 to 20 delays');
  });

  it('leaves the variables of the SDK to the applications in the same shell', () => {
    const ofTheSdk = { EVENT_CENTER_URL: 'http://127.0.0.1:8080', EVENT_CENTER_APP_ID: 'A', EVENT_CENTER_APP_KEY: 'k' };
    expect(loadConfig(ofTheSdk)).toEqual(loadConfig({}));
  });

  it('names everything that is wrong at once, and never the value of a secret', () => {
    const error = refusal({
      EVENT_CENTER_PORT: 'x',
      EVENT_CENTER_MASTER_KEY: 'secret-key',
      EVENT_CENTER_LOG_LEVEL: 'loud',
    });
    expect(error.fields.map((field) => field.path)).toEqual([
      'masterKey (EVENT_CENTER_MASTER_KEY)',
      'http.port (EVENT_CENTER_PORT)',
      'log.level (EVENT_CENTER_LOG_LEVEL)',
    ]);
    expect(error.message).not.toContain('secret-key');
  });

  it.each([
    ['http:\n  prt: 1\n', '  http.prt: there is no such option'],
    ['hppt:\n  port: 1\n', '  hppt: there is no such option'],
    ['http:\n', 'http: expected object, found null'],
    ['dataDir: ""\n', 'dataDir (EVENT_CENTER_DATA_DIR): expected at least 1 characters, found 0'],
    ['dataDir: 7\n', 'dataDir (EVENT_CENTER_DATA_DIR): expected string, found number'],
    ['http:\n  port:\n', 'http.port (EVENT_CENTER_PORT): expected a whole number'],
    ['- http\n', 'expected sections and options'],
    ['http: {\n', 'expected YAML'],
  ])('refuses the file %j', (text, message) => {
    expect(refusal({}, fileWith(text)).message).toContain(message);
  });

  it('refuses a file that is not there', () => {
    expect(refusal({}, join(folder, 'none.yaml')).message).toContain('none.yaml: there is no such file');
  });

  it('asks for a master key as soon as a server is involved', () => {
    const servers = { EVENT_CENTER_BROKER_URL: 'amqp://localhost' };
    expect(refusal(servers).message).toContain('masterKey (EVENT_CENTER_MASTER_KEY)');
    expect(refusal({ EVENT_CENTER_DATABASE_URL: 'mysql://root@db/events' }).message).toContain('openssl rand -hex 32');
    expect(loadConfig({ ...servers, EVENT_CENTER_MASTER_KEY: MASTER_KEY }).masterKey).toBe(MASTER_KEY);
  });

  it('takes the trusted users of the broker as a list', () => {
    const config = loadConfig({ EVENT_CENTER_BROKER_TRUSTED_USERS: 'centre-b, centre-c' });
    expect(config.broker.trustedUsers).toEqual(['centre-b', 'centre-c']);
    expect(refusal({ EVENT_CENTER_BROKER_TRUSTED_USERS: 'centre-b,,' }).message).toContain(
      'broker.trustedUsers (EVENT_CENTER_BROKER_TRUSTED_USERS): expected names',
    );
  });

  it('calls public addresses only in production, which NODE_ENV says unless the option does', () => {
    const addresses = (environment: NodeJS.ProcessEnv) => loadConfig(environment).callback.addresses;
    expect(addresses({})).toBe('development');
    expect(addresses({ NODE_ENV: 'test' })).toBe('development');
    expect(addresses({ NODE_ENV: 'production' })).toBe('production');
    expect(addresses({ NODE_ENV: 'production', EVENT_CENTER_CALLBACK_ADDRESSES: 'development' })).toBe('development');
    expect(addresses({ EVENT_CENTER_CALLBACK_ADDRESSES: 'production' })).toBe('production');
  });

  it.each([
    [undefined, 2],
    ['4', 2],
    ['5', 3],
    ['16', 8],
    ['1', 1],
    ['0', 1],
    ['many', 1],
    ['100000', 512],
  ])('with UV_THREADPOOL_SIZE %s knows of %s threads for look-ups', (size, threads) => {
    expect(loadConfig(size === undefined ? {} : { UV_THREADPOOL_SIZE: size }).callback.lookupThreads).toBe(threads);
  });

  it('takes networks as a list, by their length or as one address', () => {
    const all = ['10.1.0.0/16', '10.2.3.4', 'fd12::/48', '::1', '0.0.0.0/0', '::/0'];
    const { callback } = loadConfig({
      EVENT_CENTER_CALLBACK_ALLOWED_NETWORKS: all.join(', '),
      EVENT_CENTER_CALLBACK_DENIED_NETWORKS: '10.1.7.0/24',
    });
    expect(callback).toMatchObject({ allowedNetworks: all, deniedNetworks: ['10.1.7.0/24'] });
    expect(() => new AddressPolicy(callback)).not.toThrow();
  });

  it.each([
    '10.0.0.0/33',
    '10.0.0/8',
    '010.0.0.0/8',
    'fd12::/129',
    'intranet',
    '10.0.0.0/8,',
    '10.0.0.0/255.0.0.0',
    '*',
  ])('refuses the network %s', (text) => {
    expect(refusal({ EVENT_CENTER_CALLBACK_ALLOWED_NETWORKS: text }).message).toContain(
      'callback.allowedNetworks (EVENT_CENTER_CALLBACK_ALLOWED_NETWORKS): expected networks such as 10.1.0.0/16',
    );
  });

  it('refuses several processes on the embedded broker', () => {
    expect(refusal({ EVENT_CENTER_ROLE: 'worker' }).message).toContain('role (EVENT_CENTER_ROLE): expected all');
  });

  it('takes the production example once it is given its secrets', () => {
    const config = loadConfig({ EVENT_CENTER_MASTER_KEY: MASTER_KEY }, 'config/production.example.yaml');
    expect(config).toMatchObject({ role: 'all', database: { autoMigrate: false }, http: { host: '0.0.0.0' } });
  });
});
