import { InvalidOptionError } from '../errors.js';
import type { SignatureAlgorithm } from '../signature.js';
import type { SignedCallerOptions } from './signed-call.js';

/** Names and texts, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

const REQUIRED = { baseUrl: 'EVENT_CENTER_URL', appId: 'EVENT_CENTER_APP_ID', appKey: 'EVENT_CENTER_APP_KEY' } as const;
const VARIABLES: Record<string, string> = {
  ...REQUIRED,
  contextPath: 'EVENT_CENTER_CONTEXT_PATH',
  algorithm: 'EVENT_CENTER_ALGORITHM',
};

/** The environment of this process. */
export function processEnvironment(): Environment {
  // eslint-disable-next-line no-restricted-properties -- the one place where this package reads it, when it is asked to
  return process.env;
}

/**
 * Who calls which centre, by environment: `EVENT_CENTER_URL`, `EVENT_CENTER_APP_ID`, `EVENT_CENTER_APP_KEY`, and if they
 * are set `EVENT_CENTER_CONTEXT_PATH` and `EVENT_CENTER_ALGORITHM`. An empty text counts as not set.
 * @throws InvalidOptionError naming every required variable that is missing.
 */
export function callerOptionsFromEnv(env: Environment = processEnvironment()): SignedCallerOptions {
  const given = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  const missing = Object.values(REQUIRED).filter((name) => given(name) === undefined);
  if (missing.length > 0) throw new InvalidOptionError(missing.join(', '), 'must be set in the environment');
  return {
    baseUrl: given(REQUIRED.baseUrl) ?? '',
    appId: given(REQUIRED.appId) ?? '',
    appKey: given(REQUIRED.appKey) ?? '',
    contextPath: given('EVENT_CENTER_CONTEXT_PATH'),
    algorithm: given('EVENT_CENTER_ALGORITHM') as SignatureAlgorithm | undefined,
  };
}

/**
 * Runs what takes options of an environment.
 * @throws InvalidOptionError naming the variable instead of the option.
 */
export function namingVariables<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof InvalidOptionError)) throw error;
    const variable = VARIABLES[error.field];
    if (variable === undefined) throw error;
    throw new InvalidOptionError(variable, error.message.slice(error.field.length + 2));
  }
}
