/** Where a centre of the bench lives: a broker prefix and a database of its own, gone afterwards. */
import { createReadStream, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startMariaDb, startRabbitMq } from '../scripts/own-services.mjs';
import { configSchema } from '../src/config-schema.js';
import { startCentreProcess, type CentreOptions, type CentreProcess } from '../test/support/centre-process.js';
import {
  BROKER_URL,
  brokerAnswers,
  DATABASE_URL,
  databaseAnswers,
  temporaryBroker,
  temporaryDatabase,
} from './surroundings.js';

/** How the centres of the bench log unless told otherwise: by their default. */
export const DEFAULT_LOG_LEVEL = configSchema.parse({}).log.level;

/** A place at which centre processes can be started. */
export interface Place {
  /** Variables that lead there. */
  environment: Record<string, string>;
  databaseUrl: string;
}

/** A place on the services that run here; `nodeQueues` are to be removed with what every centre declares. */
export async function atPlace<T>(nodeCodes: string[], work: (place: Place) => Promise<T>): Promise<T> {
  const broker = temporaryBroker(BROKER_URL);
  const database = await temporaryDatabase(DATABASE_URL);
  try {
    return await work(placeOf(BROKER_URL, database.url, broker.prefix));
  } finally {
    await broker.removeCentre(nodeCodes.map((nodeCode) => `node.${nodeCode}`));
    await database.remove();
  }
}

/** Places on a RabbitMQ and a MariaDB of their own, which take many queues and rows without disturbing others. */
export async function atOwnPlaces<T>(work: (newPlace: () => Promise<Place>) => Promise<T>): Promise<T> {
  const broker = await startRabbitMq({ answers: brokerAnswers });
  try {
    const server = await startMariaDb({ answers: databaseAnswers });
    try {
      let places = 0;
      return await work(async () => {
        places += 1;
        return placeOf(broker.url, (await temporaryDatabase(server.url)).url, `bench-${places}.`);
      });
    } finally {
      await server.remove();
    }
  } finally {
    await broker.remove();
  }
}

/** A database on a MariaDB of its own. */
export async function withOwnDatabase<T>(work: (databaseUrl: string) => Promise<T>): Promise<T> {
  const server = await startMariaDb({ answers: databaseAnswers });
  try {
    return await work((await temporaryDatabase(server.url)).url);
  } finally {
    await server.remove();
  }
}

/**
 * Starts a centre process for `work` and stops it afterwards. It logs as it does by default, a line per event and per
 * attempt, into a file; whatever else stands there is shown when it has ended.
 */
export async function withCentre<T>(
  place: Pick<Place, 'environment'>,
  options: Omit<CentreOptions, 'environment'> & { settings?: Record<string, string> },
  work: (centre: CentreProcess) => Promise<T>,
): Promise<T> {
  const { settings, ...others } = options;
  const folder = mkdtempSync(join(tmpdir(), 'event-center-bench-'));
  const logFile = join(folder, 'log');
  try {
    const environment = { EVENT_CENTER_LOG_LEVEL: DEFAULT_LOG_LEVEL, ...place.environment, ...settings };
    const centre = await startCentreProcess({ ...others, logFile, environment });
    try {
      return await work(centre);
    } finally {
      await centre.stop();
    }
  } finally {
    if (existsSync(logFile)) await showTroubles(logFile);
    rmSync(folder, { recursive: true });
  }
}

async function showTroubles(logFile: string): Promise<void> {
  for await (const line of createInterface({ input: createReadStream(logFile) })) {
    if (!line.includes(`"level":"${DEFAULT_LOG_LEVEL}"`)) console.error(line);
  }
}

function placeOf(brokerUrl: string, databaseUrl: string, prefix: string): Place {
  return {
    databaseUrl,
    environment: {
      EVENT_CENTER_BROKER_URL: brokerUrl,
      EVENT_CENTER_BROKER_PREFIX: prefix,
      EVENT_CENTER_DATABASE_URL: databaseUrl,
    },
  };
}
