import type { Config } from './config.js';
import type { Access } from './core/access/access.js';
import { sleep } from './core/periodic.js';
import type { Log } from './core/ports.js';
import { HttpServer } from './http/server.js';
import { createLog } from './log.js';
import { Parts, type Centre } from './compose/parts.js';
import { DATABASE_WAIT_MS, databaseOf, migrateAudited, openSurroundings } from './compose/surroundings.js';
import { startDelivering } from './compose/delivering.js';
import { answering, leaseDeskOf, startEmptying } from './compose/answering.js';

export type { Centre } from './compose/parts.js';

const READY_LOOK_MS = 100;

/** Brings the tables up to date; gives the names of the migrations that ran. */
export async function migrate(config: Config): Promise<string[]> {
  const log = createLog(config.log.level);
  const database = databaseOf(config, log);
  try {
    await database.waitUntilReady(DATABASE_WAIT_MS);
    return await migrateAudited(database, { name: 'command:migrate', requestId: null }, log);
  } finally {
    await database.close();
  }
}

/**
 * Starts a centre in the role that the configuration says, and prints its ready line once events can be accepted or
 * delivered. Resolves then, or as soon as `ending` is aborted; a broker or database that is away is waited for.
 * @param print writes a line to standard output.
 */
export async function serve(config: Config, print: (line: string) => void, ending: AbortSignal): Promise<Centre> {
  const parts = new Parts(createLog(config.log.level));
  try {
    await start(config, parts, { print, ending });
  } catch (error) {
    await parts.stop();
    throw error;
  }
  return parts;
}

interface Beginning {
  print: (line: string) => void;
  ending: AbortSignal;
}

async function start(config: Config, parts: Parts, { print, ending }: Beginning): Promise<void> {
  const surroundings = await openSurroundings(config, parts);
  const { broker, registry, access } = surroundings;
  const delivering = config.role === 'api' ? null : await startDelivering(surroundings, parts);
  const desk = config.role === 'worker' ? null : leaseDeskOf(surroundings);
  const server = new HttpServer(answering(surroundings, { delivering, desk }, parts));
  const url = await parts.add('http', server, () => server.stop(config.shutdown.graceMs)).start();
  // Stopped before the server, which waits for those who wait for events.
  if (desk !== null) parts.add('leases', desk, (part) => part.stop());
  while (!ending.aborted && !(broker.status().ready && registry.loaded)) await sleep(READY_LOOK_MS, ending);
  if (ending.aborted) return;
  delivering?.startBackground();
  if (desk !== null) startEmptying({ desk, broker, registry, log: parts.log }, parts);
  print(`event-center ready ${url}`);
  if (config.role !== 'worker') await printHowToGoOn(config, access, { url, print, log: parts.log });
}

/** The first admin token, once, and on a start without any server what a newcomer may do next. */
async function printHowToGoOn(
  config: Config,
  access: Access,
  { url, print, log }: { url: string; print: (line: string) => void; log: Log },
): Promise<void> {
  try {
    const token = await access.ensureFirstToken();
    if (token !== null) print(`\n  Admin token, shown only now (only its hash is stored):\n    ${token}`);
  } catch (error) {
    log.warn('token.first-not-made', { error });
  }
  if (config.broker.url !== 'embedded:') return;
  print(`\n  See it work:        npm run demo     (in a second terminal)
  API documentation:  ${url}/docs
  Health, metrics:    ${url}/readyz  ${url}/metrics
  Stop:               Ctrl+C; data is kept in the folder ${config.dataDir}\n`);
}
