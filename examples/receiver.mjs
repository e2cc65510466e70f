/**
 * Receives callbacks, verifies their signature and prints each event once, with nothing but Node 18 or newer.
 *
 *   node examples/receiver.mjs --port 9000 --app WAREHOUSE --key <clientKey> [--algorithm HmacSHA256]
 *
 * Register a listener with the url http://127.0.0.1:9000/orders for the node WAREHOUSE. Without --key signatures are not
 * looked at, as for a node without clientKey.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '9000' },
    app: { type: 'string' },
    key: { type: 'string' },
    algorithm: { type: 'string', default: 'HmacSHA1' },
  },
});
const MAX_CLOCK_SKEW_MS = 300_000;
const MAX_BODY_BYTES = 2 * 1024 * 1024;

/** Delivery is at least once: an event can come again, and its uuid tells. A real application keeps these in its database. */
const seen = new Set();

const server = createServer(async (request, response) => {
  try {
    const body = await bodyOf(request);
    const fields = new URLSearchParams(body.toString('utf8'));
    if (values.key !== undefined && !isSigned(request, body, fields)) {
      return answer(response, 401, { success: 'false', message: 'the signature is wrong' });
    }
    const id = `${request.headers['x-event-listener']} ${fields.get('uuid')}`;
    if (!seen.has(id)) {
      handle(request, fields);
      // Only after the work is done: had it thrown, the centre would send the event again.
      seen.add(id);
    }
    return answer(response, 200, { success: 'true' });
  } catch (error) {
    return answer(response, 500, { success: 'false', message: error.message });
  }
});
server.on('error', (error) => {
  console.error(`cannot listen at port ${values.port}: ${error.code === 'EADDRINUSE' ? 'it is taken' : error.message}`);
  process.exitCode = 1;
});
server.listen(Number(values.port), '127.0.0.1', () =>
  console.log(`listening at http://127.0.0.1:${server.address().port}`),
);

function handle(request, fields) {
  console.log(
    `${request.url.split('?')[0]} ${fields.get('sourceID')}/${fields.get('eventType')} ${fields.get('userObject')}`,
  );
}

/** The signature of docs/protocol.md, over the request as it came. */
function isSigned(request, body, fields) {
  const [path, query = ''] = request.url.split('?');
  const parameters = new URLSearchParams(query);
  const ts = parameters.get('ts');
  if (parameters.get('appId') !== values.app || Math.abs(Date.now() - Number(ts)) > MAX_CLOCK_SKEW_MS) return false;
  const params = [...fields]
    .filter(([name]) => name !== 'appId' && name !== 'sign' && !parameters.has(name))
    .map(([name, value]) => name + value);
  const text =
    `SignProp{ts=${ts}, remoteUserName='${parameters.get('username')}', queryString='${queryText(query)}', ` +
    `requestUrl='${path.replace(/\/$/, '')}', ip='null', contentLength='${body.length}', paramsStr='${params.sort().join('')}'}`;
  const hash = values.algorithm.replace(/^Hmac/, '').toLowerCase();
  const expected = createHmac(hash, Buffer.from(values.key, 'base64')).update(text, 'utf8').digest('hex');
  const given = String(request.headers.sign);
  return given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}

/** Names and decoded values in the order of the url, without appId and sign; pieces that are not `name=value` vanish. */
function queryText(query) {
  const pairs = query
    .split('&')
    .map((piece) => piece.replace(/=+$/, '').split('='))
    .filter(([name, ...rest]) => rest.length === 1 && name !== 'appId' && name !== 'sign');
  const values = new Map(pairs.map(([name, value]) => [name, decodeURIComponent(value.replaceAll('+', ' '))]));
  return [...values].map(([name, value]) => name + value).join('');
}

async function bodyOf(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('the body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function answer(response, status, content) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(content));
}
