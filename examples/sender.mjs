/**
 * Sends one event, with nothing but Node 18 or newer.
 *
 *   node examples/sender.mjs --url http://127.0.0.1:8080/event --app SHOP --key <appKey> \
 *     --source ORDER --type PLACED --data '{"order":1}' [--tenant T] [--uuid KEY] [--algorithm HmacSHA256]
 *
 * Ends with 0 when the centre has the event (status 1), with 1 otherwise.
 */
import { createHmac, randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8080/event' },
    app: { type: 'string' },
    key: { type: 'string' },
    source: { type: 'string' },
    type: { type: 'string' },
    data: { type: 'string' },
    tenant: { type: 'string' },
    uuid: { type: 'string', default: randomUUID() },
    algorithm: { type: 'string', default: 'HmacSHA1' },
  },
});
for (const name of ['app', 'key', 'source', 'type']) {
  if (values[name] === undefined) throw new Error(`--${name} is missing`);
}

/** A repeat under the same uuid is not delivered twice, so an answer of 503 ("unknown") can simply be tried again. */
const ATTEMPTS = 5;

const answer = await sendWithRepeats({
  sourceID: values.source,
  eventType: values.type,
  ...(values.tenant === undefined ? {} : { tenantCode: values.tenant }),
  ...(values.data === undefined ? {} : { userObject: values.data }),
  uuid: values.uuid,
});
console.log(JSON.stringify(answer));
process.exitCode = answer.status === 1 ? 0 : 1;

async function sendWithRepeats(fields) {
  for (let attempt = 1; ; attempt += 1) {
    const { status, retryAfter, data } = await send(fields);
    if ((status !== 503 && status !== 429) || attempt === ATTEMPTS) return data;
    await new Promise((resolve) => setTimeout(resolve, 1000 * (Number(retryAfter) || attempt)));
  }
}

async function send(fields) {
  const target = new URL(`${values.url}/eventmanager/sendEventMsg.do`);
  const ts = String(Date.now());
  target.search = new URLSearchParams({ appId: values.app, ts }).toString();
  const body = new URLSearchParams(fields).toString();
  const response = await fetch(target, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
      sign: sign(target, ts, body, fields),
    },
    body,
  });
  const { data } = await response.json();
  return { status: response.status, retryAfter: response.headers.get('retry-after'), data };
}

/** The signature of docs/protocol.md, for a request whose query is just appId and ts. */
function sign(target, ts, body, fields) {
  // Of the query, appId and sign are left out; what stays is joined as name and value, without separators.
  const queryString = `ts${ts}`;
  // Of the form, every name and value joined, then these texts sorted by code unit, which is what sort() does.
  const params = Object.entries(fields).map(([name, value]) => name + value);
  const text =
    `SignProp{ts=${ts}, remoteUserName='null', queryString='${queryString}', requestUrl='${target.pathname}', ` +
    `ip='null', contentLength='${Buffer.byteLength(body)}', paramsStr='${params.sort().join('')}'}`;
  const hash = values.algorithm.replace(/^Hmac/, '').toLowerCase();
  return createHmac(hash, Buffer.from(values.key, 'base64')).update(text, 'utf8').digest('hex');
}
