import { readFileSync } from 'node:fs';
import { callerOptionsFromEnv, processEnvironment, type Environment } from '../client/client-environment.js';
import { InvalidOptionError } from '../errors.js';
import { messageOf } from '../message-of.js';

/**
 * Settings by the names of the vendor's `eventConfig.properties`. What is not listed, such as `mq.address` and the pool
 * of its connections, belongs to AMQP or has no meaning here, and is passed over.
 */
export interface VendorSettings {
  /** The node code. */
  readonly 'msg.clusterCode'?: string | undefined;
  /** Where registrations are read, `http://host/event/eventmanager/eventinfo/index.do`; says base url and context path. */
  readonly 'event.manager.url'?: string | undefined;
  /** The node's `app_key`. The vendor's file has none, because its events came without a signature. */
  readonly 'msg.appKey'?: string | undefined;
  /** Events at a time. */
  readonly 'mq.customerNum'?: string | number | undefined;
  readonly [other: string]: unknown;
}

/** What settings say of a host; the rest has its defaults. */
export interface SettledOptions {
  baseUrl?: string;
  contextPath?: string;
  appId?: string;
  appKey?: string;
  concurrency?: number;
}

/** Of a process's environment: the path of a file in the vendor's format. */
const SETTINGS_FILE_VARIABLE = 'event-mqConfig-filePath';
const PATH_BEHIND_CONTEXT = /\/eventmanager(?:\/.*)?$/;

/**
 * Host options from settings by the vendor's names.
 * @throws InvalidOptionError naming the setting.
 */
export function optionsOfSettings(settings: VendorSettings): SettledOptions {
  const text = (name: string): string | undefined => {
    const value = settings[name];
    if (value === undefined || value === null || value === '') return undefined;
    if (typeof value !== 'string' && typeof value !== 'number') throw new InvalidOptionError(name, 'expected a text');
    return String(value).trim();
  };
  const appId = text('msg.clusterCode');
  const appKey = text('msg.appKey');
  const url = text('event.manager.url');
  const threads = text('mq.customerNum');
  return {
    ...(appId === undefined ? {} : { appId }),
    ...(appKey === undefined ? {} : { appKey }),
    ...(url === undefined ? {} : addressOf(url)),
    ...(threads === undefined ? {} : { concurrency: Number(threads) }),
  };
}

/**
 * Host options from an environment: `EVENT_CENTER_URL`, `EVENT_CENTER_APP_ID`, `EVENT_CENTER_APP_KEY`,
 * `EVENT_CENTER_CONTEXT_PATH`, `EVENT_CENTER_ALGORITHM`; where one is not set, the vendor's names, as variables or in
 * the properties file that `event-mqConfig-filePath` names.
 * @throws InvalidOptionError naming what is missing or wrong.
 */
export function hostOptionsFromEnv(env: Environment = processEnvironment()) {
  const file = env[SETTINGS_FILE_VARIABLE];
  const settings = optionsOfSettings({ ...(file === undefined || file === '' ? {} : readSettings(file)), ...env });
  const { baseUrl, contextPath, appId, appKey, concurrency } = settings;
  // A context path that belongs to another address would be wrong with this one.
  const isVendorAddress = isUnset(env['EVENT_CENTER_URL']);
  const options = callerOptionsFromEnv({
    ...env,
    EVENT_CENTER_URL: isVendorAddress ? baseUrl : env['EVENT_CENTER_URL'],
    EVENT_CENTER_APP_ID: isUnset(env['EVENT_CENTER_APP_ID']) ? appId : env['EVENT_CENTER_APP_ID'],
    EVENT_CENTER_APP_KEY: isUnset(env['EVENT_CENTER_APP_KEY']) ? appKey : env['EVENT_CENTER_APP_KEY'],
    EVENT_CENTER_CONTEXT_PATH:
      isVendorAddress && isUnset(env['EVENT_CENTER_CONTEXT_PATH']) ? contextPath : env['EVENT_CENTER_CONTEXT_PATH'],
  });
  return { ...options, ...(concurrency === undefined ? {} : { concurrency }) };
}

/** Lines `name=value` or `name: value`; `#` and `!` begin a comment. */
export function parseProperties(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const pair = /^\s*([^#!\s=:][^\s=:]*)\s*[=:]\s*(.*?)\s*$/.exec(line);
    if (pair?.[1] !== undefined) found[pair[1]] = pair[2] ?? '';
  }
  return found;
}

function readSettings(file: string): Record<string, string> {
  try {
    return parseProperties(readFileSync(file, 'utf8'));
  } catch (error) {
    const why = messageOf(error);
    throw new InvalidOptionError(SETTINGS_FILE_VARIABLE, `expected the path of a readable file: ${why}`);
  }
}

function addressOf(text: string): { baseUrl: string; contextPath: string } {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidOptionError('event.manager.url', 'expected an absolute url');
  }
  if (!PATH_BEHIND_CONTEXT.test(url.pathname)) {
    throw new InvalidOptionError('event.manager.url', 'expected a url with /eventmanager/ behind the context path');
  }
  const contextPath = url.pathname.replace(PATH_BEHIND_CONTEXT, '');
  return { baseUrl: url.origin, contextPath: contextPath === '' ? '/' : contextPath };
}

function isUnset(value: string | undefined): boolean {
  return value === undefined || value === '';
}
