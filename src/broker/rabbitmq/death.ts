import type { ConsumeMessage } from 'amqplib';
import type { Death } from '../dead-format.js';
import type { Names } from '../names.js';

/** What the broker itself says about a message in the dead queue. */
export function deathOf(message: ConsumeMessage, names: Names): Death {
  const deaths: unknown = message.properties.headers?.['x-death'];
  for (const death of Array.isArray(deaths) ? (deaths as unknown[]) : []) {
    const { reason, queue } = typeof death === 'object' && death !== null ? (death as Record<string, unknown>) : {};
    // Coming out of a delay step is an expiry and not a death.
    if (reason === 'expired' || typeof reason !== 'string') continue;
    const name = typeof queue === 'string' ? queue : null;
    return { reason: `the broker took it out of the queue ${name ?? '?'}: ${reason}`, queue: name };
  }
  const { routingKey, exchange } = message.fields;
  if (exchange !== names.redeliver && exchange !== names.dead) {
    return { reason: `it came from the exchange ${exchange}`, queue: null };
  }
  return { reason: `there is no queue ${routingKey}`, queue: routingKey };
}
