/** Registers the Express application, and shows what it does with right, repeated and forged calls. */
import { randomUUID } from 'node:crypto';
import { EventCenterClient, signCall } from '@event-center/sdk';
import { check, say, title, until } from '../../scripts/checks.mjs';
import { ManagementApi } from '../../scripts/management-api.mjs';
import { registerEventType, registerListener, registerNode } from '../../scripts/register.mjs';
import { createApp } from './app.mjs';

const NODE = { nodeCode: 'EXAMPLE-EXPRESS', nodeName: 'Express receiver' };
const TYPE = {
  sourceId: 'EXAMPLE-SHOP',
  eventTypeCode: 'ORDER_PLACED',
  schema: { type: 'object', required: ['order'], properties: { order: { type: 'integer' } } },
};
const RETRY = { strategy: 'default', delaysMs: [300, 1000], maxAttempts: 3 };

/**
 * @param centre `{ url, token }` with an admin token.
 * @param options.port to listen at; 0 for any.
 * @returns `{ url, command, show, stop }`: where it receives, how to send to it by hand, and what to call.
 */
export async function startExample(centre, { port }) {
  const api = new ManagementApi(centre);
  title('Registering at', centre.url);
  const node = await registerNode(api, NODE);
  const type = await registerEventType(api, TYPE);
  const warehouse = new Warehouse();
  const app = createApp({
    ...node,
    reserve: (event) => warehouse.reserve(event),
    onRefused: (error) => say(`  not taken: ${error.code ?? error.message}`),
  });
  const server = await listening(app, port);
  const origin = `http://127.0.0.1:${server.address().port}`;
  const url = `${origin}/callbacks`;
  const listener = { name: 'reserve stock', nodeCode: node.nodeCode, eventTypeId: type.id, url, retry: RETRY };
  const { id: listenerId } = await registerListener(api, listener).catch((error) => {
    server.close();
    throw error;
  });
  say(`${node.nodeCode} listens to ${TYPE.sourceId}/${TYPE.eventTypeCode} at ${url}`);
  const client = new EventCenterClient({ baseUrl: centre.url, appId: node.nodeCode, appKey: node.appKey });
  const scene = { api, client, node, origin, url, listenerId, warehouse };
  return {
    url,
    command: commandFor(centre),
    show: () => show(scene),
    stop: async () => {
      // Nobody answers there any more; what has been delivered stays to be looked at.
      await api.call('DELETE', `/listeners/${listenerId}`).catch((error) => say(error.message));
      client.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

/** What the application does with an event. */
class Warehouse {
  handled = [];
  #stumbles = new Set();

  stumbleAt(order) {
    this.#stumbles.add(order);
  }

  async reserve({ payload, attempt }) {
    if (this.#stumbles.delete(payload.order)) {
      say(`  order ${payload.order}, attempt ${attempt}: the stock is being counted, later please`);
      throw new Error('the stock is being counted');
    }
    say(`  order ${payload.order}, attempt ${attempt}: reserved`);
    this.handled.push(payload.order);
  }

  timesOf(order) {
    return this.handled.filter((one) => one === order).length;
  }
}

async function show(scene) {
  const { api, client, origin, listenerId, warehouse } = scene;
  const send = (order) =>
    client.send({ sourceId: TYPE.sourceId, eventType: TYPE.eventTypeCode, userObject: { order } });
  const attempts = (eventId, least) => settledDelivery(api, { eventId, listenerId, least });

  title('Order 1: a signed callback');
  const first = await send(1);
  const delivered = await attempts(first.eventId, 1);
  check('it was delivered and handled', delivered.state === 'succeeded' && warehouse.timesOf(1) === 1);

  title('Order 2: the application stumbles, the centre comes again');
  warehouse.stumbleAt(2);
  const second = await send(2);
  const repeated = await attempts(second.eventId, 1);
  check(
    'the second attempt was handled',
    repeated.state === 'succeeded' && repeated.attempts === 2 && warehouse.timesOf(2) === 1,
  );

  title('Order 1 comes a second time, by a replay');
  await api.call('POST', '/replays', { filter: { eventIds: [first.eventId], listenerId } });
  const replayed = await attempts(first.eventId, 2);
  check('the centre called again and heard success', replayed.state === 'succeeded' && replayed.attempts === 2);
  check('the inbox knew the event: it was handled once', warehouse.timesOf(1) === 1);

  title('Calls that somebody else makes');
  await showForged(scene);
  check('none of the refused ones was handled', warehouse.handled.join(' ') === '1 2 3');
  const { orders } = await (await fetch(`${origin}/orders`)).json();
  check('the application has the orders 1, 2 and 3', orders.join(' ') === '1 2 3');
}

/** One call signed with the client key, and what cannot pass for it. */
async function showForged({ url, node }) {
  const callOf = (order) => ({
    sourceID: TYPE.sourceId,
    eventType: TYPE.eventTypeCode,
    userObject: JSON.stringify({ order }),
    uuid: randomUUID(),
  });
  const right = signed(url, node, callOf(3));
  const forged = signed(url, node, callOf(4));
  const tampered = { ...forged, body: forged.body.replace('%3A4', '%3A5') };
  const unsigned = { ...forged, headers: { 'content-type': forged.headers['content-type'] } };
  const foreign = signed(url, { ...node, nodeCode: 'SOMEBODY' }, callOf(6));
  const old = signed(url, node, callOf(7), Date.now() - 600_000);
  await expectAnswer('signed with the client key', right, { status: 200, success: 'true' });
  await expectAnswer('a tampered body', tampered, { status: 401, code: 'BAD_SIGNATURE' });
  await expectAnswer('no signature', unsigned, { status: 401, code: 'BAD_SIGNATURE' });
  await expectAnswer('signed for another node', foreign, { status: 401, code: 'UNKNOWN_APP' });
  await expectAnswer('ten minutes old', old, { status: 401, code: 'TIMESTAMP_EXPIRED' });
}

async function expectAnswer(what, { target, headers, body }, { status, success = 'false', code }) {
  const answer = await fetch(target, { method: 'POST', headers, body });
  const content = await answer.json();
  const holds = answer.status === status && content.success === success && content.code === code;
  check(`${what}: answer ${answer.status} ${content.code ?? 'success'}`, holds);
}

/** A callback as the centre makes it (protocol page, section 3). */
function signed(url, { nodeCode, clientKey }, fields, ts = Date.now()) {
  const target = `${url}?appId=${nodeCode}&ts=${ts}`;
  const body = new URLSearchParams(fields).toString();
  const sign = signCall({
    url: target,
    fields: Object.entries(fields),
    contentLength: Buffer.byteLength(body),
    key: clientKey,
    algorithm: 'HmacSHA1',
  });
  return { target, body, headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8', sign } };
}

/** The delivery to our listener, once it has come to an end after `least` attempts. */
function settledDelivery(api, { eventId, listenerId, least }) {
  return until(`event ${eventId} is delivered`, async () => {
    // The record of an event follows a moment after its acceptance.
    const delivery = await api.call('GET', `/deliveries/${eventId}/${listenerId}`).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    });
    const isSettled = ['succeeded', 'failed', 'skipped'].includes(delivery?.state) && delivery.attempts.length >= least;
    return isSettled ? { ...delivery, attempts: delivery.attempts.length } : null;
  });
}

function listening(app, port) {
  return new Promise((resolve, reject) => {
    const server = app.listen(port, '127.0.0.1', (error) => (error === undefined ? resolve(server) : reject(error)));
  });
}

function commandFor({ url }) {
  const event = { sourceId: TYPE.sourceId, eventType: TYPE.eventTypeCode, userObject: { order: 7 } };
  return (
    `curl -sS ${url}/api/v1/events -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' ` +
    `-d '${JSON.stringify(event)}'`
  );
}
