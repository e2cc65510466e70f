import type { ConfirmChannel } from 'amqplib';
import { EventCenterError } from '../../core/errors.js';
import { uuidV7 } from '../../core/ids.js';
import { encodeOutcomes } from '../message-format.js';
import { messageOf } from '../within.js';
import type { Destination } from './publish-lane.js';

/** AMQP type of a message that only proves that a queue takes messages; no handler sees it. */
export const PROBE_TYPE = 'probe';

/**
 * Resolves when a message for `destination` was confirmed. Nothing is left of it: it expires at once, and a consumer that
 * still gets it acks it unseen. Wants a channel of its own, and its caller a time limit: a queue without a leader does not
 * answer, and holds up its whole channel.
 * @throws UNAVAILABLE when there is no such queue or exchange, or the broker refuses.
 */
export function probe(channel: ConfirmChannel, { exchange, routingKey }: Destination): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string): void => {
      const target = exchange === '' ? routingKey : exchange;
      reject(new EventCenterError('UNAVAILABLE', `the probe of ${target} failed: ${why}`));
    };
    channel.on('return', () => {
      refuse('there is no such queue');
    });
    // The channel that is closed for a missing exchange or permission says why; the confirm does not.
    channel.on('error', (error) => {
      refuse(error.message);
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
    channel.publish(exchange, routingKey, body, options, (error: unknown) => {
      if (error === null || error === undefined) resolve();
      else refuse(messageOf(error));
    });
  });
}
