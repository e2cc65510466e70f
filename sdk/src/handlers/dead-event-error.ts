import { EventCenterClientError } from '../errors.js';

/** An event that no repeat can help: it was put on the list of dead events, and must not be tried again. */
export class DeadEventError extends EventCenterClientError {
  static override readonly kind = 'DeadEventError';
  override readonly name = 'DeadEventError';
  readonly eventId: string;
  /** Why, in one sentence. */
  readonly reason: string;

  constructor(eventId: string, reason: string) {
    super('DEAD_EVENT', `event ${eventId} is dead: ${reason}`);
    this.eventId = eventId;
    this.reason = reason;
  }
}
