import type { ConfirmChannel } from 'amqplib';
import { EventCenterError } from '../../core/errors.js';
import { uuidV7 } from '../../core/ids.js';
import { encodeOutcomes } from '../message-format.js';
import { messageOf } from '../within.js';

/** AMQP type of a message that only proves that a queue takes messages; no handler sees it. */
export const PROBE_TYPE = 'probe';

/**
 * Resolves when `queue` has confirmed a message. Nothing is left of it: it expires at once, and a consumer that still
 * gets it acks it unseen. Wants a channel of its own, and its caller a time limit: a queue without a leader does not
 * answer, and holds up its whole channel.
 * @throws UNAVAILABLE when the queue is not there or refuses.
 */
export function probeQueue(channel: ConfirmChannel, queue: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string): void => {
      reject(new EventCenterError('UNAVAILABLE', `the probe of ${queue} failed: ${why}`));
    };
    channel.on('return', () => {
      refuse('there is no such queue');
    });
    const { body, headers } = encodeOutcomes([]);
    const options = {
      headers,
      type: PROBE_TYPE,
      messageId: uuidV7(),
      expiration: 0,
      persistent: true,
      mandatory: true,
    };
    channel.sendToQueue(queue, body, options, (error: unknown) => {
      if (error === null || error === undefined) resolve();
      else refuse(messageOf(error));
    });
  });
}
