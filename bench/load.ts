/** Child process: sends signed events and notes when each was sent. */
import { Pool } from 'undici';
import { formParams, sign, stringToSign } from './signing.js';
import { nowMs } from './clock.js';
import type { LoadReport, LoadRequest } from './protocol.js';

process.on('message', (request: LoadRequest) => {
  void run(request).then(send);
});
process.on('disconnect', () => process.exit(0));
send({ kind: 'ready' });

function send(report: LoadReport): void {
  process.send?.(report);
}

async function run(request: LoadRequest): Promise<LoadReport> {
  const { urls } = request;
  const connections = Math.ceil(request.connections / urls.length);
  const pools = urls.map((url) => new Pool(url, { connections, pipelining: 1 }));
  const sentAt = new Array<number>(request.events).fill(0);
  const acceptedAt = new Array<number>(request.events).fill(0);
  let next = 0;
  let accepted = 0;
  let refused = 0;
  let firstRefusal: string | null = null;
  const startedAt = nowMs();

  async function sendNext(): Promise<void> {
    for (let number = next++; number < request.events; number = next++) {
      if (request.rate !== null) await untilDue(startedAt + (number * 1000) / request.rate);
      const { path, headers, body } = signedEvent(request, number);
      sentAt[number] = nowMs();
      const pool = pools[number % pools.length] as Pool;
      const answer = await pool.request({ method: 'POST', path, headers, body });
      const text = await answer.body.text();
      acceptedAt[number] = nowMs();
      if (answer.statusCode === 200 && text.includes('"status":1')) {
        accepted += 1;
      } else {
        refused += 1;
        firstRefusal ??= `${answer.statusCode} ${text.slice(0, 300)}`;
      }
    }
  }

  await Promise.all(Array.from({ length: request.connections }, sendNext));
  const endedAt = nowMs();
  await Promise.all(pools.map((pool) => pool.close()));
  return { kind: 'done', startedAt, endedAt, accepted, refused, firstRefusal, sentAt, acceptedAt };
}

function untilDue(at: number): Promise<void> {
  const wait = at - nowMs();
  return wait <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, wait));
}

function signedEvent(request: LoadRequest, number: number) {
  const fixed = JSON.stringify({ number, filling: '' }).length;
  const userObject = JSON.stringify({ number, filling: 'x'.repeat(Math.max(0, request.bytes - fixed - 80)) });
  const { eventTypes } = request;
  const eventType = eventTypes === null ? 'MEASURED' : `MEASURED-${number % eventTypes}`;
  const params = { sourceID: 'BENCH', eventType, userObject };
  const body = formParams(params);
  const ts = String(Date.now());
  const path = '/event/eventmanager/sendEventMsg.do';
  const text = stringToSign({ ts, path, contentLength: body.length, params });
  return {
    path: `${path}?appId=${request.appId}&ts=${ts}`,
    headers: { 'content-type': 'application/x-www-form-urlencoded', sign: sign(text, request.appKey) },
    body,
  };
}
