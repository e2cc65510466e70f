import type { Channel } from 'amqplib';
import type { Names } from '../names.js';

/**
 * What is declared, with arguments that must never change under a name: declaring a queue with other arguments closes
 * the channel, so a change is a migration. Reasons for each are on the architecture page, "Topology on RabbitMQ".
 */

/** Never unset: -1 destroys messages on 3.10 and unset means 20 on 4.x. */
const NEVER_GIVES_UP = 2_000_000_000;
const NODE_DELIVERY_LIMIT = 1000;

const quorum = { 'x-queue-type': 'quorum', 'x-delivery-limit': NEVER_GIVES_UP };

/** Keeps a dead-lettered message until its target has confirmed it; the strategy demands reject-publish. */
const atLeastOnce = { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' };

/** Declares the exchanges and queues that the centre always has, and the bindings between them. */
export async function declareOwn(channel: Channel, names: Names): Promise<void> {
  await channel.assertExchange(names.dead, 'fanout', { durable: true });
  await channel.assertQueue(names.dead, { durable: true, arguments: quorum });
  await channel.bindQueue(names.dead, names.dead, '');
  await channel.assertExchange(names.events, 'topic', { durable: true });
  await channel.assertQueue(names.journal, { durable: true, arguments: quorum });
  await channel.bindQueue(names.journal, names.events, '#');
  await channel.assertExchange(names.outcomes, 'fanout', { durable: true });
  await channel.assertQueue(names.outcomes, { durable: true, arguments: quorum });
  await channel.bindQueue(names.outcomes, names.outcomes, '');
  await channel.assertExchange(names.redeliver, 'direct', { durable: true, alternateExchange: names.dead });
  await channel.assertExchange(names.control, 'fanout', { durable: true });
}

/** Declares a node's queue, reachable by its name through `redeliver`. */
export async function declareNodeQueue(channel: Channel, names: Names, queue: string): Promise<void> {
  await channel.assertQueue(queue, {
    durable: true,
    arguments: {
      ...quorum,
      'x-delivery-limit': NODE_DELIVERY_LIMIT,
      'x-dead-letter-exchange': names.dead,
      ...atLeastOnce,
    },
  });
  await channel.bindQueue(queue, names.redeliver, queue);
}

/** Declares a delay step: what is published to it comes out at `redeliver` after `delayMs`, under its routing key. */
export async function declareDelay(channel: Channel, names: Names, delayMs: number): Promise<void> {
  const name = names.delay(delayMs);
  await channel.assertExchange(name, 'fanout', { durable: true });
  await channel.assertQueue(name, {
    durable: true,
    arguments: { ...quorum, 'x-message-ttl': delayMs, 'x-dead-letter-exchange': names.redeliver, ...atLeastOnce },
  });
  await channel.bindQueue(name, name, '');
}
