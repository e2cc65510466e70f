import { parseArgs } from 'node:util';
import type { Environment } from '../client/client-environment.js';
import type { SignatureAlgorithm } from '../signature.js';
import type { EventTypesSource } from './read-event-types.js';

/** What `event-center types` is to do. */
export interface TypesOptions {
  source: EventTypesSource;
  /** Path of the file. */
  out: string;
  /** Compare with the file instead of writing it. */
  check: boolean;
}

/** A command line that cannot be carried out; the message names the option. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const OPTIONS = {
  url: { type: 'string' },
  'app-id': { type: 'string' },
  'app-key': { type: 'string' },
  algorithm: { type: 'string' },
  'context-path': { type: 'string' },
  token: { type: 'string' },
  out: { type: 'string' },
  check: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Option = Exclude<keyof typeof OPTIONS, 'check' | 'help' | 'out'>;

const VARIABLES: Record<Option, string> = {
  url: 'EVENT_CENTER_URL',
  'app-id': 'EVENT_CENTER_APP_ID',
  'app-key': 'EVENT_CENTER_APP_KEY',
  algorithm: 'EVENT_CENTER_ALGORITHM',
  'context-path': 'EVENT_CENTER_CONTEXT_PATH',
  token: 'EVENT_CENTER_TOKEN',
};

/**
 * The options of a command line, and where it says nothing of the environment.
 * @returns `help` when that was asked for.
 * @throws UsageError naming the option.
 */
export function typesOptions(args: string[], environment: Environment): TypesOptions | 'help' {
  const values = parsed(args);
  if (values.help === true) return 'help';
  const given = (option: Option): string | null => {
    const text = values[option] ?? environment[VARIABLES[option]];
    return text === undefined || text === '' ? null : text;
  };
  const required = (option: Option): string => {
    const text = given(option);
    if (text === null) throw new UsageError(`--${option}: required, here or as ${VARIABLES[option]}`);
    return text;
  };
  const out = values.out ?? 'events.d.ts';
  if (out === '') throw new UsageError('--out: expected the path of a file');
  const baseUrl = checkedUrl(required('url'));
  const source: EventTypesSource = isByToken(values, given)
    ? { by: 'token', baseUrl, token: checkedToken(required('token')) }
    : {
        by: 'application',
        caller: {
          baseUrl,
          appId: required('app-id'),
          appKey: required('app-key'),
          contextPath: given('context-path') ?? undefined,
          algorithm: (given('algorithm') ?? undefined) as SignatureAlgorithm | undefined,
        },
      };
  return { source, out, check: values.check === true };
}

type Values = ReturnType<typeof parsed>;

function parsed(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    // parseArgs names the option, and goes on with advice about `--`.
    throw new UsageError((error as Error).message.replace(/\. To specify .*$/s, ''));
  }
}

/** What is on the command line goes before the environment, and there the application before the token. */
function isByToken(values: Values, given: (option: Option) => string | null): boolean {
  const isApplication = values['app-id'] !== undefined || values['app-key'] !== undefined;
  if (values.token !== undefined && isApplication) {
    throw new UsageError('--token: expected either it or --app-id and --app-key, found both');
  }
  if (values.token !== undefined) return true;
  return !isApplication && given('app-id') === null && given('token') !== null;
}

function checkedUrl(text: string): string {
  const rule = '--url: expected an absolute http or https url without user, query and fragment';
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(rule);
  }
  const isHttp = url.protocol === 'http:' || url.protocol === 'https:';
  if (!isHttp || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new UsageError(rule);
  }
  return text;
}

function checkedToken(token: string): string {
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError('--token: expected characters that a header can carry');
  return token;
}
