/** Registers the order service, places orders, and shows which of them arrive. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { EventCenterClient, UnavailableError, createReceiver } from '@event-center/sdk';
import { OutboxRelay } from '@event-center/sdk/outbox';
import { check, say, title, until } from '../../scripts/checks.mjs';
import { ManagementApi } from '../../scripts/management-api.mjs';
import { registerEventType, registerListener, registerNode } from '../../scripts/register.mjs';
import { SOURCE_ID, openOrderService } from './order-service.mjs';

const NODE = { nodeCode: 'EXAMPLE-OUTBOX', nodeName: 'Order service' };
const EVENT_TYPES = ['ORDER_PLACED', 'ORDER_PAID'];
const COMMITTED = 9;

/** @param databaseUrl of MySQL or MariaDB; undefined for SQLite. */
export async function runExample(centre, databaseUrl) {
  const service = await openOrderService(databaseUrl);
  const api = new ManagementApi(centre);
  const closing = [() => service.close()];
  try {
    title('Registering at', centre.url);
    const node = await registerNode(api, NODE);
    const arrived = [];
    const receiving = await receive(node, async (event) => {
      arrived.push(event);
      // For the service an order is through once its last event has come back.
      if (event.eventType === 'ORDER_PAID') await service.cameBack(event.senderUuid);
    });
    closing.push(receiving.close);
    for (const eventTypeCode of EVENT_TYPES) {
      const { id } = await registerEventType(api, { sourceId: SOURCE_ID, eventTypeCode });
      const listener = { name: 'order came back', nodeCode: NODE.nodeCode, eventTypeId: id, url: receiving.url };
      const { id: listenerId } = await registerListener(api, listener);
      closing.push(() => api.call('DELETE', `/listeners/${listenerId}`));
      say(`${NODE.nodeCode} sends and listens to ${SOURCE_ID}/${eventTypeCode}`);
    }
    const client = new EventCenterClient({ baseUrl: centre.url, appId: node.nodeCode, appKey: node.appKey });
    closing.push(async () => client.close());
    await show({ service, client, arrived, closing });
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

async function show({ service, client, arrived, closing }) {
  const run = randomBytes(3).toString('hex');
  title('Placing orders on', service.name);
  const placed = [];
  for (let number = 1; number <= COMMITTED + 1; number += 1) {
    const order = { id: `${run}-${String(number).padStart(2, '0')}`, customer: number === 4 ? 'nobody' : 'somebody' };
    try {
      await service.place(order);
      placed.push(order.id);
      say(`order ${order.id}: committed, with its two events`);
    } catch (error) {
      say(`order ${order.id}: ${error.message}, rolled back, and its two events with it`);
    }
  }
  check(`${COMMITTED} orders are in the database`, String(await service.orders()) === String(placed));

  title('Relaying what the outbox holds, by two relays');
  const sending = new LosesFirstAnswer(client);
  const options = {
    outbox: service.outbox,
    database: service.database,
    client: sending,
    pollMs: 50,
    firstDelayMs: 100,
  };
  const relays = [new OutboxRelay(options), new OutboxRelay(options)];
  closing.push(() => Promise.all(relays.map((relay) => relay.stop())));
  for (const relay of relays) relay.start();
  // Of an earlier run something may still be on its way.
  const mine = () => arrived.filter((event) => event.payload.order.startsWith(run));
  await until('all have arrived', () => new Set(mine().map(nameOf)).size === 2 * COMMITTED);
  await until('the outbox is through', async () => {
    const { published, consumed } = await relays[0].stats();
    return published === 2 * COMMITTED && consumed === COMMITTED;
  });
  await Promise.all(relays.map((relay) => relay.stop()));

  title('What arrived');
  for (const order of placed) {
    const types = mine().filter((event) => event.payload.order === order);
    say(`order ${order}: ${types.map((event) => event.eventType).join(', ')}`);
  }
  const names = mine().map(nameOf);
  check(`exactly the ${2 * COMMITTED} events of the ${COMMITTED} committed orders arrived`, isEach(names, placed));
  check('of the order that was rolled back, none', !names.some((name) => name.startsWith(`${run}-04`)));
  check(
    `each order's events were accepted in their order`,
    placed.every((order) => String(sending.acceptedOf(order)) === String(EVENT_TYPES)),
  );
  check('the event whose answer was lost was sent again, and was the same event', sending.wasDuplicate);
  const stats = await relays[0].stats();
  say(
    `outbox: ${stats.published} published, ${stats.consumed} orders through, ${stats.pending} pending, ${stats.dead} dead`,
  );
  check('the outbox has nothing left to send', stats.published === 2 * COMMITTED && stats.pending + stats.dead === 0);
}

/** Sends by the client, but loses the centre's first answer, as a crash between sending and marking would. */
class LosesFirstAnswer {
  wasDuplicate = false;
  #client;
  #lost = null;
  #accepted = new Map();

  constructor(client) {
    this.#client = client;
  }

  async send(event) {
    const sent = await this.#client.send(event);
    const { order } = JSON.parse(event.userObject);
    if (this.#lost === null) {
      this.#lost = event.uuid;
      say(`${event.eventType} of ${order}: accepted, and the answer is lost`);
      throw new UnavailableError('the answer was lost', { status: null });
    }
    if (event.uuid === this.#lost) {
      this.wasDuplicate = sent.code === 'DUPLICATE';
      say(`${event.eventType} of ${order}: sent again, answer ${sent.code}`);
    }
    this.#accepted.set(order, [...this.acceptedOf(order), event.eventType]);
    return sent;
  }

  acceptedOf(order) {
    return this.#accepted.get(order) ?? [];
  }
}

/** The listener of the order service itself. */
async function receive({ nodeCode, clientKey }, act) {
  const receiver = createReceiver({ nodeCode, clientKey, onError: (error) => say(`not taken: ${error.message}`) }, act);
  const server = createServer((request, response) => void receiver.node(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/orders`,
    close: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function nameOf({ eventType, payload }) {
  return `${payload.order} ${eventType}`;
}

function isEach(names, orders) {
  const expected = orders.flatMap((order) => EVENT_TYPES.map((type) => `${order} ${type}`));
  return String([...names].sort()) === String(expected.sort());
}
