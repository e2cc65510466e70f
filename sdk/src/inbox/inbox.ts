import { InvalidOptionError } from '../errors.js';

/** What an application acts on once. A BusinessEvent is one. */
export interface InboxKey {
  /** Printable ASCII, 1 to 64 characters. */
  readonly eventId: string;
  /** Tells apart the parts of one application that each act on the event; printable ASCII, up to 64 characters. */
  readonly listenerId?: string | null;
}

/**
 * What became of a run: `done` acted now, `repeated` had been acted on before, `busy` is being acted on by another copy
 * at this moment. A busy event must be asked for again later, because the other copy may still fail.
 */
export type InboxResult = 'done' | 'repeated' | 'busy';

/** Remembers which events have been acted on. */
export interface Inbox {
  /**
   * Runs `act` unless it has succeeded for this key before. When `act` rejects, the key is forgotten and `run` rejects
   * with the same error, so that the event can come again.
   */
  run(key: InboxKey, act: () => Promise<void>): Promise<InboxResult>;
}

/** A key with its rules satisfied; `listenerId` is the empty text when there is none. */
export interface CheckedKey {
  eventId: string;
  listenerId: string;
}

/** @throws InvalidOptionError naming the part of the key. */
export function checkKey({ eventId, listenerId }: InboxKey): CheckedKey {
  if (typeof eventId !== 'string' || !KEY_PART.test(eventId)) {
    throw new InvalidOptionError('eventId', 'expected 1 to 64 printable ASCII characters');
  }
  const listener = listenerId ?? '';
  if (listener !== '' && !KEY_PART.test(listener)) {
    throw new InvalidOptionError('listenerId', 'expected up to 64 printable ASCII characters');
  }
  return { eventId, listenerId: listener };
}

const KEY_PART = /^[\x21-\x7e]{1,64}$/;
