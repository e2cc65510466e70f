/**
 * `npm run bench:sdk`: what a send through the SDK costs beside a bare undici POST of the same body, signed beforehand.
 * Against a centre on RabbitMQ and MariaDB or MySQL, and against a server that answers at once and does nothing else.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { startCentreProcess } from '../test/support/centre-process.js';
import { end, forkBench, nextMessage } from './children.js';
import { median } from './measure.js';
import { registerBench } from './registration.js';
import type { SdkLoadJob, SdkLoadReport } from './sdk-load.js';
import { BROKER_URL, DATABASE_URL, temporaryBroker, temporaryDatabase } from './surroundings.js';

const { values: options } = parseArgs({
  options: {
    sends: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    concurrency: { type: 'string', default: '16' },
  },
});
const BODY_BYTES = 1024;
const ROUNDS = Number(options.rounds);
const SETTINGS = { sends: Number(options.sends), concurrency: Number(options.concurrency), bytes: BODY_BYTES };

type Target = Pick<SdkLoadJob, 'url' | 'appId' | 'appKey'>;

async function againstCentre(work: (target: Target) => Promise<void>): Promise<void> {
  const broker = temporaryBroker(BROKER_URL);
  const database = await temporaryDatabase(DATABASE_URL);
  const centre = await startCentreProcess({
    environment: {
      EVENT_CENTER_BROKER_URL: BROKER_URL,
      EVENT_CENTER_BROKER_PREFIX: broker.prefix,
      EVENT_CENTER_DATABASE_URL: database.url,
    },
  });
  try {
    await work({ url: centre.url, ...(await registerBench(centre, [])) });
  } finally {
    await centre.stop();
    await broker.removeCentre([]);
    await database.remove();
  }
}

async function againstNothing(work: (target: Target) => Promise<void>): Promise<void> {
  const body = '{"data":{"status":1,"message":"accepted","msg":"accepted","code":"OK","eventId":"nobody-keeps-it"}}';
  const server = createServer((req, res) => {
    req.on('end', () => {
      res.writeHead(200, { 'Content-Type': 'application/json;charset=UTF-8', 'Content-Length': body.length }).end(body);
    });
    req.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await work({ url: `http://127.0.0.1:${port}`, appId: 'BENCH', appKey: 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM=' });
  } finally {
    server.close();
  }
}

async function compare(name: string, target: Target): Promise<void> {
  const taken: Record<SdkLoadJob['by'], SdkLoadReport[]> = { undici: [], sdk: [] };
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const by of ['undici', 'sdk'] as const) {
      const report = await runOne({ by, ...target, ...SETTINGS });
      console.log(`${name}, round ${round}, ${by}: ${JSON.stringify(report)}`);
      taken[by].push(report);
    }
  }
  const millisecondsOf = (by: SdkLoadJob['by']): number => median(taken[by].map((report) => report.milliseconds));
  const cpuOf = (by: SdkLoadJob['by']): number => median(taken[by].map((report) => report.cpuMicroseconds));
  const row = (by: SdkLoadJob['by']): Record<string, number> => ({
    'sends/s': Math.round((SETTINGS.sends / millisecondsOf(by)) * 1000),
    'time of undici': rounded(millisecondsOf(by) / millisecondsOf('undici')),
    'cpu µs/send': Math.round(cpuOf(by)),
    'cpu of undici': rounded(cpuOf(by) / cpuOf('undici')),
  });
  console.log(`\nagainst ${name}, ${BODY_BYTES} bytes, ${SETTINGS.concurrency} at a time, median of ${ROUNDS}`);
  console.table({ undici: row('undici'), sdk: row('sdk') });
}

/** In a process of its own, which is warm only with what it measures. */
async function runOne(job: SdkLoadJob): Promise<SdkLoadReport> {
  const child = forkBench('sdk-load.ts');
  try {
    child.send(job);
    return await nextMessage(child, (message) => message as SdkLoadReport);
  } finally {
    await end(child);
  }
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

await againstCentre((target) => compare('a centre', target));
await againstNothing((target) => compare('nothing', target));
