/** The scenario: create, submit, set approver, approve; seven events, through the centre, to two applications. */
import { EventCenterClient, RefusedError } from '@event-center/sdk';
import { check, say, title, until } from '../../scripts/checks.mjs';
import { ManagementApi } from '../../scripts/management-api.mjs';
import { TEMPLATE } from './approval-task.mjs';
import { EXPECTED_EVENTS, differences, expectedFor, fieldCount } from './expected-events.mjs';
import { runInProcess } from './in-process.mjs';
import { ListeningApplication } from './listening-application.mjs';
import { NOTICES, registerApplications, registerListeners } from './registrations.mjs';
import { walkThrough } from './walk-through.mjs';

/** @param centre `{ url, token }` with an admin token. */
export async function runScenario(centre) {
  const api = new ManagementApi(centre);
  title('Registering at', centre.url);
  const { approval, log, notice, sourceId, types } = await registerApplications(api);
  say(`${approval.nodeCode} sends, ${log.nodeCode} and ${notice.nodeCode} listen`);
  for (const { change, eventTypeCode, eventTypeName } of types) {
    say(`${change.padEnd(9)}  ${eventTypeCode.padEnd(18)} ${eventTypeName}`);
  }
  check('the catalogue has ten event types', types.length === 10);

  const client = new EventCenterClient({ baseUrl: centre.url, appId: approval.nodeCode, appKey: approval.appKey });
  const logging = new ListeningApplication(log);
  const noticing = new ListeningApplication(notice, { failOnce: 'task_approved' });
  const listenerIds = [];
  try {
    const noticeTypes = types.filter((type) => NOTICES.includes(type.eventTypeCode));
    listenerIds.push(
      ...(await registerListeners(api, { application: log, url: await logging.listen(), types })),
      ...(await registerListeners(api, { application: notice, url: await noticing.listen(), types: noticeTypes })),
    );
    const scenario = { api, client, sourceId, logging, noticing, listenerIds };
    const run = await approve(scenario);
    compare(scenario, run);
    await repeatAndRefuse(scenario, run);
    await runInProcess();
    check('through the centre the log was called seven times in all', logging.calls === 7);
  } finally {
    // The receivers end with this program; what has been delivered stays to be looked at.
    for (const id of listenerIds) await api.call('DELETE', `/listeners/${id}`);
    logging.close();
    noticing.close();
    client.close();
  }
}

/** Runs the process; the events are on their way while it goes on. */
async function approve({ api, client, sourceId, listenerIds }) {
  title(`Running ${TEMPLATE.name}: start, approval, end`);
  const startedAt = Date.now();
  const sends = [];
  const notify = (event) => {
    const sent = client.send({ sourceId, eventType: event.type, uuid: event.id, userObject: event });
    sends.push(
      sent.then(
        ({ eventId }) => ({ event, eventId }),
        (error) => ({ event, error }),
      ),
    );
  };
  const task = walkThrough(notify);

  const sent = await Promise.all(sends);
  for (const { event, error } of sent) if (error !== undefined) say(`${event.type} was not sent: ${error.message}`);
  check('the centre has taken all seven events', sent.length === 7 && sent.every(({ error }) => error === undefined));
  const deliveries = [];
  for (const { eventId } of sent) {
    if (eventId !== undefined) deliveries.push(...(await delivered(api, eventId, listenerIds)));
  }
  check(
    'the centre shows nine deliveries, all of them succeeded',
    deliveries.length === 9 && deliveries.every(({ state }) => state === 'succeeded'),
  );
  return { taskId: task.id, startedAt, sent };
}

/** Waits until the deliveries to our listeners have come to an end. */
function delivered(api, eventId, listenerIds) {
  return until(`the deliveries of event ${eventId} are settled`, async () => {
    // The record of an event follows a moment after its acceptance.
    const event = await api.call('GET', `/events/${eventId}`).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    });
    const ours = event?.deliveries.filter(({ listenerId }) => listenerIds.includes(listenerId)) ?? [];
    const isSettled = ours.length > 0 && ours.every(({ state }) => ['succeeded', 'failed', 'skipped'].includes(state));
    return isSettled ? ours : null;
  });
}

function compare({ logging, noticing, sourceId }, run) {
  title('What the log received');
  const inOrder = [...logging.received].sort((a, b) => placeOf(a) - placeOf(b));
  for (const [index, event] of inOrder.entries()) describe(index + 1, event);

  title('Compared with the scenario');
  check('seven events came, each once', inOrder.length === 7 && new Set(inOrder.map(idOf)).size === 7);
  for (const [index, expected] of EXPECTED_EVENTS.entries()) {
    const event = inOrder.find(({ payload }) => expectedFor(payload) === expected);
    const found = event === undefined ? ['it did not come'] : compareEvent(event, expected, { ...run, sourceId });
    const what = `event ${index + 1}, ${expected.step}: ${expected.type}`;
    if (found.length === 0) check(`${what}, ${fieldCount(event.payload)} fields as expected`, true);
    else check(`${what}: ${found.join('; ')}`, false);
  }
  const noticed = noticing.received.map(({ eventType }) => eventType).sort();
  check(
    'the notice system got the two events that it listens to',
    noticed.join(' ') === 'node_activated task_approved',
  );
  const repeated = noticing.received.find(({ eventType }) => eventType === 'task_approved');
  check('task_approved failed there at first and was tried again', repeated?.attempt === 2 && noticing.calls === 3);
  check('the log was not called again for it', logging.calls === 7);
}

/** The differences of the payload, and of what the centre says about the event. */
function compareEvent(event, expected, { sent, sourceId, ...run }) {
  const origin = sent.find((one) => one.event.id === event.payload.id);
  const { type, id } = event.payload;
  const around = { sourceId, eventType: type, senderUuid: id, eventId: origin?.eventId };
  const differing = Object.entries(around)
    .filter(([field, value]) => event[field] !== value)
    .map(([field, value]) => `${field} of the event: expected ${value}, found ${event[field]}`);
  return [...differing, ...differences(event.payload, expected, run)];
}

async function repeatAndRefuse({ client, sourceId }, { sent }) {
  title('Sent again, and sent wrong');
  const [first] = sent;
  const again = await client.send({
    sourceId,
    eventType: first.event.type,
    uuid: first.event.id,
    userObject: first.event,
  });
  check('the same event id again is the same event', again.code === 'DUPLICATE' && again.eventId === first.eventId);
  const { approval, ...incomplete } = sent.find(({ event }) => event.approval !== undefined).event;
  const refused = await client
    .send({ sourceId, eventType: incomplete.type, userObject: incomplete })
    .catch((error) => error);
  check(
    `an approval operation without its approval (${approval.result}) is refused: SCHEMA_MISMATCH`,
    refused instanceof RefusedError && refused.code === 'SCHEMA_MISMATCH',
  );
}

function describe(number, { payload }) {
  const { type, time, task, node, approval, business } = payload;
  say(`${number}. ${type}`);
  say(`   time ${time}, task ${task.id}, business ${business.id}, state ${task.state}`);
  say(`   node ${node.name} (${node.type})${approval ? `, approval ${approval.approver} - ${approval.result}` : ''}`);
}

function idOf({ payload }) {
  return payload.id;
}

/** Where in the scenario an event belongs: the centre promises no order between events. */
function placeOf({ payload }) {
  return EXPECTED_EVENTS.indexOf(expectedFor(payload));
}
