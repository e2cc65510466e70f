/**
 * A relay as a process of its own, to be killed: sends to the url of its first argument, from the database of its
 * second. Says `relaying` once it has begun.
 */
import { createPool } from 'mysql2/promise';
import { Outbox, OutboxRelay, type RelayedEvent } from '../../src/outbox/index.js';

const [url = '', database = ''] = process.argv.slice(2);
const outbox = new Outbox({ dialect: 'mysql' });
const client = {
  send: async (event: RelayedEvent): Promise<{ eventId: string }> => {
    const answer = await fetch(url, { method: 'POST', body: JSON.stringify(event) });
    if (!answer.ok) throw new Error(`answer ${answer.status}`);
    return { eventId: event.uuid };
  },
};
const relay = new OutboxRelay({ outbox, database: createPool(database), client, pollMs: 50, leaseMs: 1_000 });
relay.start();
process.stdout.write('relaying\n');
