/** A relay of the built SDK as a process of its own, to be killed. Says `relaying` once it has begun. */
import { createPool } from 'mysql2/promise';
import { EventCenterClient } from '@event-center/sdk';
import { Outbox, OutboxRelay } from '@event-center/sdk/outbox';

const database = createPool(process.env.RELAY_DATABASE_URL);
const relay = new OutboxRelay({
  outbox: new Outbox({ dialect: 'mysql' }),
  database,
  client: EventCenterClient.fromEnv(),
  pollMs: 50,
  leaseMs: 1_000,
});
relay.start();
process.stdout.write('relaying\n');
process.on('SIGTERM', () => {
  void relay.stop().then(() => database.end());
});
