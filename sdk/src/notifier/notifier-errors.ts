import { EventCenterClientError } from '../errors.js';

/** The queue has no place for the event, which was not taken. */
export class QueueFullError extends EventCenterClientError {
  static override readonly kind = 'QueueFullError';
  override readonly name = 'QueueFullError';

  constructor(eventId: string, queueSize: number) {
    super('QUEUE_FULL', `event ${eventId} was not taken: the queue is full with ${queueSize} events`);
  }
}

/** The notifier was stopped; the event was not taken. */
export class NotifierStoppedError extends EventCenterClientError {
  static override readonly kind = 'NotifierStoppedError';
  override readonly name = 'NotifierStoppedError';

  constructor(eventId: string) {
    super('STOPPED', `event ${eventId} was not taken: the notifier was stopped`);
  }
}

/** A webhook answered with another status than 2xx. */
export class WebhookFailedError extends EventCenterClientError {
  static override readonly kind = 'WebhookFailedError';
  override readonly name = 'WebhookFailedError';
  readonly status: number;

  constructor(status: number) {
    const hint = status >= 300 && status <= 399 ? ', and redirects are not followed' : '';
    super('WEBHOOK_FAILED', `expected HTTP 2xx from the webhook, found ${status}${hint}`);
    this.status = status;
  }
}
