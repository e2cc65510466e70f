import { EventCenterError } from '../../../src/core/errors.js';
import type { DeliveryState } from '../../../src/core/model.js';
import type { Claim, ClaimRequest, ClaimStore, Log } from '../../../src/core/ports.js';
import type { SignedCaller } from '../client/signed-call.js';

/** A plugin waits for the answer. */
const CLAIM_TIMEOUT_MS = 5_000;

/** Claims steps at the centre by signed calls of `claim.do` (protocol page, section 5). */
export class HttpClaims implements ClaimStore {
  readonly #caller: SignedCaller;
  readonly #log: Log;
  #away = false;

  constructor(caller: SignedCaller, log: Log) {
    this.#caller = caller;
    this.#log = log;
  }

  /** @throws UNAVAILABLE when the centre gives no answer that is one: the engine then goes on without. */
  async claim({ eventId, generation, sequence, messageId }: ClaimRequest): Promise<Claim> {
    const fields = { eventId, generation: String(generation), sequence: String(sequence), messageId };
    try {
      const { data } = await this.#caller.postForm('claim.do', fields, { timeoutMs: CLAIM_TIMEOUT_MS });
      const claim = claimIn(data);
      if (this.#away) this.#log.info('claims.answered');
      this.#away = false;
      return claim;
    } catch (error) {
      if (!this.#away) this.#log.warn('claims.unanswered', { error });
      this.#away = true;
      throw new EventCenterError('UNAVAILABLE', 'the centre does not answer claims', { cause: error });
    }
  }
}

function claimIn({ result, settled }: Record<string, unknown>): Claim {
  if (result === 'lost' || result === 'stale') return { result };
  if (result !== 'granted' || typeof settled !== 'object' || settled === null) {
    throw new EventCenterError('UNAVAILABLE', 'expected result and settled in the answer, found something else');
  }
  return { result, settled: new Map(Object.entries(settled as Record<string, DeliveryState>)) };
}
