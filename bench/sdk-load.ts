/** The sending side of `npm run bench:sdk`: the SDK's client, and undici posting the same requests made beforehand. */
import { randomUUID } from 'node:crypto';
import { Pool } from 'undici';
import { EventCenterClient, signCall } from '@event-center/sdk';

export interface SdkLoadJob {
  by: 'sdk' | 'undici';
  url: string;
  appId: string;
  appKey: string;
  sends: number;
  /** Sends on their way at a time. */
  concurrency: number;
  bytes: number;
}

export interface SdkLoadReport {
  milliseconds: number;
  /** Processor time of this process, for one send. */
  cpuMicroseconds: number;
}

const PATH = '/event/eventmanager/sendEventMsg.do';

process.on('message', (message) => {
  void run(message as SdkLoadJob).then((report) => process.send?.(report));
});

async function run(job: SdkLoadJob): Promise<SdkLoadReport> {
  const { send, close } = job.by === 'sdk' ? bySdk(job) : byUndici(job);
  for (let index = 0; index < job.concurrency; index += 1) await send(index);
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  let next = job.concurrency;
  const last = job.concurrency + job.sends;
  await Promise.all(
    Array.from({ length: job.concurrency }, async () => {
      while (next < last) await send(next++);
    }),
  );
  const milliseconds = performance.now() - startedAt;
  const used = process.cpuUsage(cpu);
  await close();
  return { milliseconds, cpuMicroseconds: (used.user + used.system) / job.sends };
}

interface Sender {
  /** Sends the event of this number; it must be accepted. */
  send(index: number): Promise<void>;
  close(): Promise<void>;
}

function bySdk({ url, appId, appKey, bytes, concurrency, sends }: SdkLoadJob): Sender {
  const client = new EventCenterClient({ baseUrl: url, appId, appKey, maxAttempts: 1 });
  const payloads = payloadsOf(sends + concurrency, bytes);
  return {
    send: async (index) => {
      const { code } = await client.send({ sourceId: 'BENCH', eventType: 'MEASURED', userObject: payloads[index] });
      if (code !== 'OK') throw new Error(`an event was answered with ${code}`);
    },
    close: async () => client.close(),
  };
}

function byUndici({ url, appId, appKey, bytes, concurrency, sends }: SdkLoadJob): Sender {
  const pool = new Pool(url, { connections: concurrency, pipelining: 1 });
  const requests = payloadsOf(sends + concurrency, bytes).map((payload) => signedRequest(payload, { appId, appKey }));
  return {
    send: async (index) => {
      const { path, sign, body } = requests[index] as SignedRequest;
      const headers = { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8', sign };
      const answer = await pool.request({ method: 'POST', path, headers, body });
      const { data } = (await answer.body.json()) as { data: { code: string } };
      if (data.code !== 'OK') throw new Error(`an event was answered with ${data.code}`);
    },
    close: () => pool.close(),
  };
}

/** Objects whose JSON has about so many bytes, each its own. */
function payloadsOf(count: number, bytes: number): Record<string, unknown>[] {
  return Array.from({ length: count }, (_, index) => ({ index, text: 'x'.repeat(bytes) }));
}

interface SignedRequest {
  path: string;
  sign: string;
  body: string;
}

function signedRequest(payload: object, { appId, appKey }: { appId: string; appKey: string }): SignedRequest {
  const fields: [string, string][] = [
    ['sourceID', 'BENCH'],
    ['eventType', 'MEASURED'],
    ['userObject', JSON.stringify(payload)],
    ['uuid', randomUUID()],
  ];
  const body = new URLSearchParams(fields).toString();
  const path = `${PATH}?appId=${appId}&ts=${Date.now()}`;
  const sign = signCall({
    url: path,
    fields,
    contentLength: Buffer.byteLength(body),
    key: appKey,
    algorithm: 'HmacSHA1',
  });
  return { path, sign, body };
}
