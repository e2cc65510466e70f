export interface IdempotencyKey {
  appId: string;
  key: string;
}

/** What stands under a key. `freed` is a key whose publish was not confirmed: it may be published again. */
export type KeyState =
  | { state: 'new' }
  /** Taken over from a crashed or refused publish: publish again under the same event id, with claimed steps. */
  | { state: 'again' }
  | { state: 'done'; eventId: string }
  | { state: 'in-progress' }
  | { state: 'other-body' };

export interface IdempotencyStore {
  /** Records the key as pending, unless it is live. `staleAfterMs` is when a pending one counts as crashed. */
  begin(
    key: IdempotencyKey,
    entry: { eventId: string; bodyHash: Buffer; now: number; ttlMs: number; staleAfterMs: number },
  ): Promise<KeyState>;
  done(key: IdempotencyKey): Promise<void>;
  /** After a 503: the next call with this key publishes again (`again`). */
  free(key: IdempotencyKey): Promise<void>;
  deleteExpired(now: number, limit: number): Promise<number>;
}
