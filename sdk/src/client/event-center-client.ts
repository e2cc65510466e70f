import { EventCenterClientError, InvalidOptionError, UnavailableError } from '../errors.js';
import type { EventMap } from '../event-map.js';
import { messageOf } from '../message-of.js';
import { delayBeforeRepeat, isRepeatable, waitMs } from './backoff.js';
import type { RepeatRules } from './backoff.js';
import { callerOptionsFromEnv, namingVariables } from './client-environment.js';
import type { Environment } from './client-environment.js';
import { registrationsIn } from './registrations.js';
import type { Registrations } from './registrations.js';
import { SignedCaller } from './signed-call.js';
import type { SignedCallerOptions } from './signed-call.js';
import { checkSubmission } from './submission.js';
import type { CheckedSubmission, Submission } from './submission.js';

/** How a client sends. `timeoutMs` counts for each attempt. */
export interface EventCenterClientOptions extends SignedCallerOptions {
  /** Attempts per event in all; 5 by default. */
  maxAttempts?: number | undefined;
  /** The most before the first repeat, in milliseconds; doubled before each further one. 200 by default. */
  retryDelayMs?: number | undefined;
  /** What the doubling, and the centre's `Retry-After`, stop at, in milliseconds; 5000 by default. */
  maxRetryDelayMs?: number | undefined;
}

/** The options of a client that its environment does not say. */
export type ClientRules = Omit<EventCenterClientOptions, 'baseUrl' | 'appId' | 'appKey' | 'contextPath' | 'algorithm'>;

/** An event that the centre has accepted: it is on disk wherever it must be. */
export interface Sent {
  eventId: string;
  /** `DUPLICATE` when the centre had taken an event with this uuid before; `eventId` is that one's. */
  code: 'OK' | 'DUPLICATE';
  uuid: string;
  /** How many attempts it took. */
  attempts: number;
}

/** What became of one event of many. */
export type SendResult = ({ ok: true } & Sent) | { ok: false; error: EventCenterClientError };

const DEFAULT_RULES: RepeatRules = { maxAttempts: 5, retryDelayMs: 200, maxRetryDelayMs: 5_000 };
const DEFAULT_CONCURRENCY = 8;

/**
 * Sends events to an event centre as a registered application. `Events` names the payloads by event type; without it,
 * everything may be sent.
 *
 * A resolved send is safe: the centre says yes only when the event is on disk. A repeat is safe too, because all attempts
 * of an event carry one uuid. Order between events is not promised.
 */
export class EventCenterClient<Events extends object = EventMap> {
  readonly #caller: SignedCaller;
  readonly #rules: RepeatRules;

  /** @throws InvalidOptionError naming the option. */
  constructor(options: EventCenterClientOptions) {
    this.#rules = {
      maxAttempts: wholeNumber('maxAttempts', options.maxAttempts ?? DEFAULT_RULES.maxAttempts, 1),
      retryDelayMs: wholeNumber('retryDelayMs', options.retryDelayMs ?? DEFAULT_RULES.retryDelayMs, 0),
      maxRetryDelayMs: wholeNumber('maxRetryDelayMs', options.maxRetryDelayMs ?? DEFAULT_RULES.maxRetryDelayMs, 0),
    };
    this.#caller = new SignedCaller(options);
  }

  /**
   * A client by environment: `EVENT_CENTER_URL`, `EVENT_CENTER_APP_ID`, `EVENT_CENTER_APP_KEY`, and if they are set
   * `EVENT_CENTER_CONTEXT_PATH` and `EVENT_CENTER_ALGORITHM`.
   * @param env the process's own by default.
   * @throws InvalidOptionError naming every variable that is missing, or the one that is wrong.
   */
  static fromEnv<Events extends object = EventMap>(
    env?: Environment,
    rules: ClientRules = {},
  ): EventCenterClient<Events> {
    return namingVariables(() => new EventCenterClient<Events>({ ...callerOptionsFromEnv(env), ...rules }));
  }

  /**
   * Sends an event. No answer, a time-out, 429, 502, 503 and 504 are repeated under the same uuid, each attempt signed
   * afresh; a refusal is not.
   * @param options.signal ends waiting and attempts.
   * @throws InvalidOptionError before anything is sent; RefusedError with the centre's code; UnavailableError, whose
   *   `uuid` makes a later repeat safe, when it stays unknown whether the event was taken.
   */
  async send(submission: Submission<Events>, options: { signal?: AbortSignal | undefined } = {}): Promise<Sent> {
    const checked = checkSubmission(submission);
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { eventId, code } = await this.#post(checked, options.signal);
        return { eventId, code, uuid: checked.uuid, attempts: attempt };
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error;
        if (!isRepeatable(error) || attempt === this.#rules.maxAttempts) throw afterAttempts(error, attempt);
        await waitMs(delayBeforeRepeat(attempt, this.#rules, error.retryAfterMs), options.signal);
      }
    }
  }

  /**
   * Sends events, several at a time, each as `send` does.
   * @param options.concurrency how many at most are on their way at a time; 8 by default.
   * @returns what became of each, in the order given; one that fails does not touch the others.
   * @throws InvalidOptionError for the options only.
   */
  async sendMany(
    submissions: readonly Submission<Events>[],
    options: { concurrency?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<SendResult[]> {
    const concurrency = wholeNumber('concurrency', options.concurrency ?? DEFAULT_CONCURRENCY, 1);
    const results: SendResult[] = [];
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < submissions.length) {
        const index = next;
        next += 1;
        results[index] = await this.#trySend(submissions[index] as Submission<Events>, options);
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, submissions.length) }, work));
    return results;
  }

  /**
   * What the centre has registered for this application: its event types and listeners. Asked once, not repeated.
   * @throws RefusedError, UnavailableError.
   */
  async registrations(options: { signal?: AbortSignal | undefined } = {}): Promise<Registrations> {
    const query = { nodeCode: this.#caller.appId };
    return registrationsIn(await this.#caller.get('eventinfo/index.do', query, options));
  }

  /** Closes idle connections. Without it they do not keep a process alive. */
  close(): void {
    this.#caller.close();
  }

  async #post(
    { fields, headers }: CheckedSubmission,
    signal: AbortSignal | undefined,
  ): Promise<Omit<Sent, 'uuid' | 'attempts'>> {
    const { status, data } = await this.#caller.postForm('sendEventMsg.do', fields, { headers, signal });
    const { eventId, code } = data;
    if (typeof eventId !== 'string') {
      throw new UnavailableError('expected an eventId in the answer, found none', {
        status,
        code: 'UNEXPECTED_ANSWER',
      });
    }
    return { eventId, code: code === 'DUPLICATE' ? 'DUPLICATE' : 'OK' };
  }

  async #trySend(submission: Submission<Events>, options: { signal?: AbortSignal | undefined }): Promise<SendResult> {
    try {
      return { ok: true, ...(await this.send(submission, options)) };
    } catch (error) {
      if (error instanceof EventCenterClientError) return { ok: false, error };
      const message = messageOf(error);
      return { ok: false, error: new EventCenterClientError('INTERNAL', message, { cause: error }) };
    }
  }
}

/** Says of the last failure how many there were. */
function afterAttempts(error: UnavailableError, attempts: number): UnavailableError {
  if (attempts === 1) return error;
  const { status, uuid, code, retryAfterMs } = error;
  const message = `not confirmed in ${String(attempts)} attempts, the last: ${error.message}`;
  return new UnavailableError(message, { status, uuid, code, retryAfterMs, cause: error });
}

function wholeNumber(option: string, value: number, least: number): number {
  if (!Number.isInteger(value) || value < least || value > 2_147_483_647) {
    throw new InvalidOptionError(option, `expected a whole number from ${String(least)} on, found ${String(value)}`);
  }
  return value;
}
