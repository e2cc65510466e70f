/** Registers the application and its plugins, sends it orders, and looks at what the centre says came of them. */
import { EventCenterClient } from '@event-center/sdk';
import { EventListenerHost } from '@event-center/sdk/plugins';
import { check, say, title, until } from '../../scripts/checks.mjs';
import { ManagementApi } from '../../scripts/management-api.mjs';
import { registerEventType, registerListener, registerNode } from '../../scripts/register.mjs';
import { AuditPlugin, BillingPlugin, Invoices, Journal } from './plugins.mjs';

const NODE = { nodeCode: 'EXAMPLE-BILLING', nodeName: 'Billing with plugins' };
const TYPE = { sourceId: 'EXAMPLE-ORDER', eventTypeCode: 'BILLABLE' };
const RETRY = { strategy: 'default', delaysMs: [300, 600], maxAttempts: 3 };
const AUDIT = 'com.example.billing.AuditPlugin';
const BILLING = 'com.example.billing.BillingPlugin';

/** @param centre `{ url, token }` with an admin token. */
export async function runExample(centre) {
  const api = new ManagementApi(centre);
  title('Registering at', centre.url);
  const node = await registerNode(api, NODE);
  const type = await registerEventType(api, TYPE);
  const listeners = [];
  for (const [place, [name, implClassName]] of Object.entries({ audit: AUDIT, billing: BILLING }).entries()) {
    const fields = { nodeCode: NODE.nodeCode, eventTypeId: type.id, operIndex: place + 1, retry: RETRY };
    listeners.push(await registerListener(api, { name, implClassName, ...fields }));
    say(`${implClassName} is number ${place + 1} of ${NODE.nodeCode}`);
  }
  const application = { baseUrl: centre.url, appId: node.nodeCode, appKey: node.appKey };
  const client = new EventCenterClient(application);
  const journal = new Journal();
  const invoices = new Invoices();
  const host = new EventListenerHost({
    ...application,
    plugins: { [AUDIT]: () => new AuditPlugin(journal), [BILLING]: () => new BillingPlugin(journal, invoices) },
  });
  try {
    await host.start();
    say('the host takes events');
    await show({ api, client, host, journal, invoices });
  } finally {
    await host.stop();
    client.close();
    // Nobody runs them any more; what came of the orders stays to be looked at.
    for (const { id } of listeners) await api.call('DELETE', `/listeners/${id}`);
  }
}

async function show({ api, client, host, journal, invoices }) {
  const send = (order) =>
    client.send({ sourceId: TYPE.sourceId, eventType: TYPE.eventTypeCode, userObject: { order } });

  title('Order 1: audit, then billing');
  const first = await send(1);
  const billed = await settled(api, first.eventId);
  check('both plugins ran, in their order', journal.of(first.eventId) === 'audit, billing');
  check('the centre knows: both succeeded at once', told(billed) === 'audit succeeded 1, billing succeeded 1');

  title('Order 2: billing fails twice, then succeeds');
  const second = await send(2);
  const repeated = await settled(api, second.eventId);
  check('audit was not run again', journal.of(second.eventId) === 'audit, billing, billing, billing');
  check('the centre counted the attempts', told(repeated) === 'audit succeeded 1, billing succeeded 3');
  check('the invoice is written', invoices.written.has(2));

  title('Order 3: billing fails for good');
  const third = await send(3);
  const failed = await settled(api, third.eventId);
  check('the event has failed', failed.state === 'failed' && told(failed) === 'audit succeeded 1, billing failed 3');
  check(
    'doBackAction was called once, after the last attempt',
    journal.of(third.eventId) === 'audit, billing, billing, billing, billing back' && invoices.cancelled.join() === '3',
  );
  const { items: failures } = await api.call('GET', `/failures?eventId=${third.eventId}`);
  const [failure] = failures;
  check(
    'the failure log says why, once',
    failures.length === 1 && failure.attempts === 3 && failure.lastError === 'the customer has no address',
  );

  title('Stopping');
  await until('everything is reported', () => host.status().inHand === 0);
  await host.stop();
  const { state, inHand, lostLeases } = host.status();
  check('nothing is left in its hands', state === 'stopped' && inHand === 0 && lostLeases === 0);
}

/** The event once every delivery of it has come to an end. */
function settled(api, eventId) {
  return until(`event ${eventId} is settled`, async () => {
    try {
      const event = await api.call('GET', `/events/${eventId}`);
      return ['succeeded', 'failed', 'skipped'].includes(event.state) ? event : null;
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  });
}

/** Listeners in their order, each with its state and attempts. */
function told({ deliveries }) {
  return [...deliveries]
    .sort((one, other) => one.operIndex - other.operIndex)
    .map(({ listenerName, state, attempts }) => `${listenerName} ${state} ${attempts}`)
    .join(', ');
}
