/**
 * `npm run demo`: two applications, real signed events, and every callback as it arrives. Starts a centre of its own
 * on the embedded broker and SQLite in a temporary folder, or uses a running one: `npm run demo -- --url
 * http://127.0.0.1:8080 --token ec_…`. Ends with 0 when everything came as said, with 1 when something did not.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { check, say, summarize, title, until } from './checks.mjs';
import { ManagementApi } from './management-api.mjs';
import { centreAt } from './own-centre.mjs';

const RETRY = { strategy: 'default', delaysMs: [300, 600], maxAttempts: 3 };

const calls = [];
/** Paths that answer `{"success":"false"}` for so many more calls. */
const failing = new Map();

const { values: options } = parseArgs({ options: { url: { type: 'string' }, token: { type: 'string' } } });
let centre = null;
let management = null;
let receiver = null;
try {
  centre = await centreAt(options);
  management = new ManagementApi(centre);
  receiver = await startReceiver();
  await show();
} catch (error) {
  check(`the demo runs to its end (${error.message})`, false);
} finally {
  receiver?.close();
  receiver?.closeAllConnections();
  await centre?.stop();
}
summarize(`${calls.length} callbacks`);

async function show() {
  title('Registering two applications at', centre.url);
  const suffix = randomBytes(3).toString('hex').toUpperCase();
  const shop = await api('POST', '/nodes', { nodeCode: `SHOP-${suffix}`, nodeName: 'Web shop' });
  const clientKey = randomBytes(20).toString('base64');
  const warehouse = await api('POST', '/nodes', { nodeCode: `WAREHOUSE-${suffix}`, nodeName: 'Warehouse', clientKey });
  say(`${shop.nodeCode} sends, ${warehouse.nodeCode} receives; callbacks to it are signed`);
  const type = await api('POST', '/event-types', {
    sourceId: `ORDER-${suffix}`,
    eventTypeCode: 'PLACED',
    owner: shop.nodeCode,
    schema: { type: 'object', required: ['order'], properties: { order: { type: 'integer' } } },
  });
  const listeners = {};
  for (const [place, name] of ['reserve-stock', 'print-label', 'notify-carrier'].entries()) {
    listeners[name] = await api('POST', '/listeners', {
      name,
      nodeCode: warehouse.nodeCode,
      eventTypeId: type.id,
      operIndex: place + 1,
      url: `${receiver.url}/${name}`,
      retry: RETRY,
    });
    say(`listener ${name}, operIndex ${place + 1}`);
  }
  receiver.expect({ nodeCode: warehouse.nodeCode, clientKey });
  const order = (number) => ({
    sourceID: type.sourceId,
    eventType: 'PLACED',
    userObject: JSON.stringify({ order: number }),
  });

  title('Order 1: three listeners, one after another');
  const first = await send(shop, order(1));
  await settled(first.eventId);
  check(
    'three callbacks came in the registered order',
    namesOf(first.eventId) === 'reserve-stock print-label notify-carrier',
  );
  check(
    'every callback was signed with the client key',
    callsOf(first.eventId).every((call) => call.signed),
  );

  title('Order 2: print-label fails twice, then succeeds');
  failing.set('/print-label', 2);
  const second = await send(shop, order(2));
  await settled(second.eventId);
  check(
    'the first listener was not called again, the third one waited',
    namesOf(second.eventId) === 'reserve-stock print-label print-label print-label notify-carrier',
  );
  check('the attempts were counted', attemptsOf(second.eventId, 'print-label') === '1 2 3');
  check(
    'no retry came before its delay',
    delaysOf(second.eventId, 'print-label').every((ms, place) => ms >= RETRY.delaysMs[place]),
  );

  title('Order 3: notify-carrier fails for good');
  failing.set('/notify-carrier', Infinity);
  const third = await send(shop, order(3));
  const failed = await settled(third.eventId);
  check('the event has failed', failed.state === 'failed');
  const failures = await until('the failure log names it', async () => {
    const page = await api('GET', `/failures?eventId=${third.eventId}`);
    return page.items.length > 0 ? page.items : null;
  });
  check('the failure log has one row with three attempts', failures.length === 1 && failures[0].attempts === 3);

  title('The carrier is repaired; the failed delivery is replayed');
  failing.delete('/notify-carrier');
  const replay = await api('POST', '/replays', {
    filter: { listenerId: listeners['notify-carrier'].id, states: ['failed'] },
  });
  await until('the replay is done', async () => (await api('GET', `/replays/${replay.id}`)).state === 'done');
  const replayed = await until('the event has succeeded', async () => {
    const event = await api('GET', `/events/${third.eventId}`);
    return event.state === 'succeeded' ? event : null;
  });
  check(
    'the replay reached the one that had failed, and nobody else',
    namesOf(third.eventId).endsWith('notify-carrier notify-carrier notify-carrier notify-carrier'),
  );
  check(
    'every delivery of the event has succeeded',
    replayed.deliveries.every((delivery) => delivery.state === 'succeeded'),
  );

  title('What is refused');
  const forged = await send({ ...shop, appKey: randomBytes(20).toString('base64') }, order(4));
  check('a wrong key: BAD_SIGNATURE', forged.code === 'BAD_SIGNATURE');
  const wrong = await send(shop, { ...order(5), userObject: '{"order":"five"}' });
  check('a payload against the schema: SCHEMA_MISMATCH', wrong.code === 'SCHEMA_MISMATCH');
  const keyed = { ...order(6), uuid: `demo-${suffix}` };
  const once = await send(shop, keyed);
  const twice = await send(shop, keyed);
  check(
    'the same uuid again: DUPLICATE with the first event id',
    twice.code === 'DUPLICATE' && twice.eventId === once.eventId,
  );
  await settled(once.eventId);
  check('and the listeners were called once', namesOf(once.eventId) === 'reserve-stock print-label notify-carrier');
}

/** Sends an event as the vendor's clients do: a form, its signature in the header `sign`. */
async function send(app, fields) {
  const path = '/event/eventmanager/sendEventMsg.do';
  const ts = String(Date.now());
  const body = new URLSearchParams(fields).toString();
  const sign = signatureOf({ ts, path, query: `ts${ts}`, length: Buffer.byteLength(body), fields, key: app.appKey });
  const answer = await fetch(`${centre.url}${path}?appId=${encodeURIComponent(app.nodeCode)}&ts=${ts}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', sign },
    body,
  });
  const { data } = await answer.json();
  say(`sent ${fields.userObject} -> status ${data.status}, ${data.code}`);
  return data;
}

/** The signature of the iuap protocol: HMAC over one line of text, as lower-case hex. */
function signatureOf({ ts, path, query, length, fields, key }) {
  const params = Object.entries(fields)
    .map(([name, value]) => name + value)
    .sort()
    .join('');
  const text = `SignProp{ts=${ts}, remoteUserName='null', queryString='${query}', requestUrl='${path}', ip='null', contentLength='${length}', paramsStr='${params}'}`;
  return createHmac('sha1', Buffer.from(key, 'base64')).update(text, 'utf8').digest('hex');
}

/** The receiving application: verifies each callback and answers as the manual asks. */
function startReceiver() {
  let expected = null;
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const { pathname, searchParams } = new URL(request.url, 'http://receiver');
      const body = Buffer.concat(chunks);
      const fields = Object.fromEntries(new URLSearchParams(body.toString('utf8')));
      const ts = searchParams.get('ts');
      const query = `ts${ts}`;
      const sign = signatureOf({ ts, path: pathname, query, length: body.length, fields, key: expected.clientKey });
      const signed =
        searchParams.get('appId') === expected.nodeCode &&
        request.headers.sign?.length === sign.length &&
        timingSafeEqual(Buffer.from(request.headers.sign), Buffer.from(sign));
      const left = failing.get(pathname) ?? 0;
      if (left > 0) failing.set(pathname, left - 1);
      const success = signed && left === 0;
      const attempt = request.headers['x-event-attempt'];
      calls.push({ eventId: fields.uuid, name: pathname.slice(1), attempt, signed, at: Date.now() });
      say(
        `  callback ${pathname.slice(1).padEnd(15)} attempt ${attempt}  ${fields.userObject}  -> ${success ? 'success' : 'failure'}`,
      );
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ success: String(success) }));
    });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      resolve({
        url: `http://127.0.0.1:${server.address().port}`,
        expect: (node) => (expected = node),
        close: () => server.close(),
        closeAllConnections: () => server.closeAllConnections(),
      });
    });
  });
}

function api(method, path, body) {
  return management.call(method, path, body);
}

/** The event once every delivery of it has come to an end. */
function settled(eventId) {
  return until(`event ${eventId} is settled`, async () => {
    const event = await recorded(eventId);
    return ['succeeded', 'failed', 'skipped'].includes(event?.state) ? event : null;
  });
}

/** The event as the API shows it, null while it is not recorded. */
async function recorded(eventId) {
  try {
    return await api('GET', `/events/${eventId}`);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

function callsOf(eventId, name) {
  return calls.filter((call) => call.eventId === eventId && (name === undefined || call.name === name));
}

function namesOf(eventId) {
  return callsOf(eventId)
    .map((call) => call.name)
    .join(' ');
}

function attemptsOf(eventId, name) {
  return callsOf(eventId, name)
    .map((call) => call.attempt)
    .join(' ');
}

function delaysOf(eventId, name) {
  const times = callsOf(eventId, name).map((call) => call.at);
  return times.slice(1).map((at, place) => at - times[place]);
}
