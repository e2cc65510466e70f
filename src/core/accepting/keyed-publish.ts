import { hasCode, invalidField, EventCenterError } from '../errors.js';
import type { IdempotencyKey, IdempotencyStore, Log, Metrics } from '../ports.js';
import { settleLate, storeInTime, type Begun } from './late-store.js';

export interface KeyedPublishDeps {
  idempotency: Pick<IdempotencyStore, 'begin' | 'done' | 'free'>;
  metrics: Pick<Metrics, 'deduplicationLost' | 'incident'>;
  log: Log;
  options: {
    /** How long a key is kept. */
    idempotencyTtlMs: number;
    /** How long a publish can take; a key pending for twice as long belongs to a crash. */
    confirmTimeoutMs: number;
  };
}

export interface KeyedPublish {
  key: IdempotencyKey;
  /** Made of the key, so that a repeat has it too. */
  eventId: string;
  bodyHash: Buffer;
  now: number;
  /** Publishes and waits for the confirm. `mayRepeat` when the event may have been published before. */
  publish(mayRepeat: boolean): Promise<void>;
}

/**
 * Publishes an event under an idempotency key and never loses it (protocol page, section 2): the key is recorded as
 * pending, the event is published and confirmed, the key is marked done. While the database is away, or does not answer
 * within `STORE_WAIT_MS`, the event is published without deduplication; what it answers later settles the key.
 * @throws IN_PROGRESS while another call with the key runs; INVALID_PARAM at `uuid` for another body under a live key;
 *   what `publish` throws, and then the key is free.
 */
export async function publishKeyed(deps: KeyedPublishDeps, request: KeyedPublish): Promise<'OK' | 'DUPLICATE'> {
  const beginning = begin(deps, request);
  const begun = await begunInTime(deps, request, beginning);
  switch (begun) {
    case 'done':
      return 'DUPLICATE';
    case 'in-progress':
      throw new EventCenterError('IN_PROGRESS', 'uuid: a call with this key is still running, repeat it', {
        retryAfterSeconds: 1,
      });
    case 'other-body':
      throw invalidField('uuid', 'was used for another event, expected a new key or the same body');
    case 'unknown':
      await publishUnrecorded(deps, request, beginning);
      return 'OK';
    case 'new':
    case 'again':
      await publishPending(deps, request, begun === 'again');
      return 'OK';
  }
}

async function begin({ idempotency, options }: KeyedPublishDeps, request: KeyedPublish): Promise<Begun> {
  const { key, eventId, bodyHash, now } = request;
  const { idempotencyTtlMs: ttlMs, confirmTimeoutMs } = options;
  const entry = { eventId, bodyHash, now, ttlMs, staleAfterMs: 2 * confirmTimeoutMs };
  return (await idempotency.begin(key, entry)).state;
}

async function begunInTime(
  { log }: KeyedPublishDeps,
  { eventId }: KeyedPublish,
  beginning: Promise<Begun>,
): Promise<Begun | 'unknown'> {
  try {
    return await storeInTime(beginning);
  } catch (error) {
    if (!hasCode(error, 'UNAVAILABLE')) throw error;
    log.warn('event.deduplication-lost', { eventId, error });
    return 'unknown';
  }
}

async function publishUnrecorded(
  deps: KeyedPublishDeps,
  request: KeyedPublish,
  beginning: Promise<Begun>,
): Promise<void> {
  deps.metrics.deduplicationLost();
  const published = request.publish(true);
  void settleLate({ beginning, work: published }, (how) => settleKey(deps, how, request));
  await published;
}

async function publishPending(deps: KeyedPublishDeps, request: KeyedPublish, mayRepeat: boolean): Promise<void> {
  try {
    await request.publish(mayRepeat);
  } catch (error) {
    // Left pending the key would answer IN_PROGRESS until it is stale, while the sender is told to repeat.
    await settleKey(deps, 'free', request);
    throw error;
  }
  await settleKey(deps, 'done', request);
}

/**
 * Failing to settle a key must not fail the event: a pending key becomes stale, and its repeat is claimed step by step.
 * A store that does not answer in time goes on settling it.
 */
async function settleKey(deps: KeyedPublishDeps, settle: 'done' | 'free', request: KeyedPublish): Promise<void> {
  try {
    await storeInTime(deps.idempotency[settle](request.key));
  } catch (error) {
    deps.metrics.incident(`idempotency.${settle}.failed`);
    deps.log.warn(`idempotency.${settle}.failed`, { eventId: request.eventId, error });
  }
}
