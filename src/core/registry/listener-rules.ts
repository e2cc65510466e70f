import { EventCenterError } from '../errors.js';
import { expectText, expectWhole, FieldProblems } from '../field-problems.js';
import type { Listener, ListenerFormat, RetryPolicy } from '../model.js';
import type { CallbackAddresses, SchemaCompiler } from '../ports.js';
import {
  CLASS_NAME_LENGTH,
  CODE_LENGTH,
  DELAYS_PER_LISTENER,
  DELAY_MS,
  HEADERS_PER_LISTENER,
  HEADER_LENGTH,
  KEY_LENGTH,
  MASK,
  MAX_ATTEMPTS,
  NAME_LENGTH,
  NOTE_LENGTH,
  OPER_INDEX,
  TIMEOUT_MS,
  URL_LENGTH,
} from './registry-limits.js';
import { expectFilter } from './schema-rule.js';
import { isUnreadable } from './unreadable-secret.js';

/** Formats that the protocol names and that are not built yet. */
const PLANNED_FORMATS = ['json', 'standard', 'cloudevents', 'abp', 'feishu', 'dingtalk', 'wecom', 'slack'];

/** Headers that the centre or the connection sets itself, in lower case. */
const OWN_HEADERS = new Set([
  ...['accept-encoding', 'connection', 'content-encoding', 'content-length', 'content-type', 'expect', 'host'],
  ...['keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['sign', 'sourceid', 'eventtype', 'tenantcode', 'userobject', 'traceparent'],
]);
const OWN_HEADER_PREFIX = 'x-event-';
/** RFC 9110, section 5.1. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;

/** What the rules of a listener are checked with. */
export interface ListenerCheck {
  schemas: SchemaCompiler;
  /** Null leaves the address of its url unchecked, which was checked when it was given, by the options of then. */
  addresses: CallbackAddresses | null;
}

/** @throws INVALID_PARAM naming every field that is wrong. */
export function checkListener(listener: Listener, { schemas, addresses }: ListenerCheck): void {
  const problems = new FieldProblems();
  expectText(problems, { path: 'name', text: listener.name }, { max: NAME_LENGTH });
  expectText(problems, { path: 'namei18n', text: listener.namei18n }, { max: NAME_LENGTH });
  expectText(problems, { path: 'owner', text: listener.owner }, { max: CODE_LENGTH });
  expectText(problems, { path: 'note', text: listener.note }, { min: 0, max: NOTE_LENGTH, multiline: true });
  expectText(problems, { path: 'tenantCode', text: listener.tenantCode }, { max: CODE_LENGTH, code: true });
  expectTarget(problems, listener, addresses);
  expectWhole(problems, { path: 'operIndex', value: listener.operIndex }, OPER_INDEX);
  expectFilter(problems, { path: 'filter', schema: listener.filter }, schemas);
  if (!isUnreadable(listener.headers)) expectHeaders(problems, listener.headers);
  expectWhole(problems, { path: 'timeoutMs', value: listener.timeoutMs }, TIMEOUT_MS);
  if (!isUnreadable(listener.secret)) {
    expectText(problems, { path: 'secret', text: listener.secret }, { max: KEY_LENGTH });
  }
  problems.expect(
    listener.secret !== MASK,
    'secret',
    `${MASK} stands for a secret in answers; leave the field out to keep it`,
  );
  expectRetry(problems, listener.retry);
  problems.throwIfAny();
}

/** Whether the protocol names a format that is not built yet. */
export function isPlannedFormat(format: string | null | undefined): boolean {
  return format !== null && format !== undefined && PLANNED_FORMATS.includes(format);
}

/**
 * The format of a listener; `iuap` when none is named.
 * @throws NOT_IMPLEMENTED for one of the protocol that is not built yet, INVALID_PARAM for any other.
 */
export function checkFormat(format: string): ListenerFormat {
  if (format === 'iuap') return format;
  if (isPlannedFormat(format)) {
    const message = `the format ${format} is not built yet; use iuap`;
    throw new EventCenterError('NOT_IMPLEMENTED', `format: ${message}`, { fields: [{ path: 'format', message }] });
  }
  const problems = new FieldProblems();
  problems.add('format', `expected iuap, or one of ${PLANNED_FORMATS.join(', ')} once they are built`);
  problems.throwIfAny();
  return 'iuap';
}

function expectTarget(problems: FieldProblems, listener: Listener, addresses: CallbackAddresses | null): void {
  const { url, implClassName } = listener;
  if (url === null && implClassName === null) {
    problems.add('url', 'a listener needs a url or an implClassName');
  } else if (url !== null && implClassName !== null) {
    problems.add('implClassName', 'a listener has a url or an implClassName, not both');
  }
  const urlProblem = url === null ? null : (urlRuleBroken(url) ?? addresses?.refusalOf(url) ?? null);
  if (urlProblem !== null) problems.add('url', urlProblem);
  expectText(problems, { path: 'implClassName', text: implClassName }, { max: CLASS_NAME_LENGTH });
  if (implClassName !== null)
    problems.expect(!/\s/.test(implClassName), 'implClassName', 'expected a class name, without white space');
}

/**
 * Why a listener cannot be called at `url`, or null. A url with a user or password is refused, because urls are shown
 * and logged; such a listener gets an `Authorization` header. The path is signed as it stands, so it must be what goes
 * over the wire: visible ASCII, everything else percent-encoded.
 */
export function urlRuleBroken(url: string): string | null {
  if (url.length > URL_LENGTH) return `expected at most ${URL_LENGTH} characters, found ${url.length}`;
  if (!/^https?:\/\/[^/?]/i.test(url) || !URL.canParse(url)) return 'expected an absolute http or https url';
  if (!/^[\x21-\x7e]+$/.test(url)) return 'expected visible ASCII only; percent-encode everything else';
  if (/%(?![0-9A-Fa-f]{2})/.test(url)) return 'expected two hexadecimal digits after each %';
  if (/["<>\\^`{|}]/.test(url)) return 'expected no " < > \\ ^ ` { | }; percent-encode them';
  if (url.includes('#')) return 'expected no fragment (#): it is never sent';
  if (/^https?:\/\/[^/?]*@/i.test(url)) return 'expected no user or password; use an Authorization header instead';
  return null;
}

function expectHeaders(problems: FieldProblems, headers: Record<string, string>): void {
  const names = Object.keys(headers);
  problems.expect(
    names.length <= HEADERS_PER_LISTENER,
    'headers',
    `expected at most ${HEADERS_PER_LISTENER} headers, found ${names.length}`,
  );
  const seen = new Set<string>();
  for (const name of names) {
    const path = `headers.${name.slice(0, NAME_LENGTH)}`;
    const value = headers[name] ?? '';
    const lower = name.toLowerCase();
    problems.expect(HEADER_NAME.test(name) && name.length <= NAME_LENGTH, path, 'expected a header name of RFC 9110');
    problems.expect(
      !OWN_HEADERS.has(lower) && !lower.startsWith(OWN_HEADER_PREFIX),
      path,
      'the centre sets this header itself',
    );
    problems.expect(!seen.has(lower), path, 'the header is there twice; names are the same in any case of letters');
    problems.expect(
      HEADER_VALUE.test(value) && value.length <= HEADER_LENGTH,
      path,
      `expected visible ASCII, at most ${HEADER_LENGTH} characters`,
    );
    problems.expect(value !== MASK, path, `${MASK} stands for a secret in answers; give the value again`);
    seen.add(lower);
  }
}

function expectRetry(problems: FieldProblems, retry: RetryPolicy): void {
  const { strategy, maxAttempts, delaysMs } = retry;
  expectWhole(problems, { path: 'retry.maxAttempts', value: maxAttempts }, MAX_ATTEMPTS);
  if (strategy !== 'default') {
    problems.expect(maxAttempts === null, 'retry.maxAttempts', `the strategy ${strategy} decides it; leave it out`);
  }
  if (delaysMs === null) return;
  problems.expect(strategy !== 'none', 'retry.delaysMs', 'the strategy none never tries again; leave it out');
  problems.expect(
    delaysMs.length >= 1 && delaysMs.length <= DELAYS_PER_LISTENER,
    'retry.delaysMs',
    `expected 1 to ${DELAYS_PER_LISTENER} delays, found ${delaysMs.length}`,
  );
  for (const [index, value] of delaysMs.slice(0, DELAYS_PER_LISTENER).entries()) {
    expectWhole(problems, { path: `retry.delaysMs.${index}`, value }, DELAY_MS);
  }
}
