import { createConnection, type Connection } from 'mysql2/promise';
import { pause } from '../../support/pause.js';
import { underDatabaseFault, type DatabaseFault } from '../database-fault.js';
import type { Scenario, Stage } from '../scenario.js';
import type { Setting } from '../setting.js';

/** Where everything the journal, the claims and the keys need is kept. */
const TABLES = ['pub_event', 'pub_event_delivery', 'pub_event_attempt', 'pub_event_chain', 'pub_event_idempotency'];

/** Stopped and started at once. */
const restarted: DatabaseFault = {
  lastsMs: 0,
  shows: null,
  begin: async ({ setting }) => {
    await setting.database.stop();
    return () => setting.database.start();
  },
};

const killed: DatabaseFault = {
  lastsMs: 8_000,
  shows: 'database',
  begin: async ({ setting }) => {
    await setting.database.kill();
    return () => setting.database.start();
  },
};

/** Every chunk waits 0.3 s in either direction, then 2.5 s: more than a second per statement, then nothing works any more. */
const slow: DatabaseFault = {
  lastsMs: 30_000,
  shows: 'journal',
  begin: ({ setting: { databaseProxy } }) => {
    databaseProxy.slow(300);
    const timer = setTimeout(() => {
      databaseProxy.slow(2_500);
    }, 15_000);
    return Promise.resolve(() => {
      clearTimeout(timer);
      databaseProxy.slow(0);
      return Promise.resolve();
    });
  },
};

/** Connected, and silent; new connections too. */
const silent: DatabaseFault = {
  lastsMs: 25_000,
  shows: 'database',
  begin: ({ setting: { databaseProxy } }) => {
    databaseProxy.freeze();
    return Promise.resolve(() => {
      databaseProxy.thaw();
      return Promise.resolve();
    });
  },
};

/** As behind a router that forgot its connections: those that are there lead nowhere, new ones work. */
const halfOpen: DatabaseFault = {
  lastsMs: 20_000,
  shows: 'journal',
  begin: ({ setting: { databaseProxy } }) => {
    databaseProxy.halfOpen();
    return Promise.resolve(() => Promise.resolve());
  },
};

/** `LOCK TABLES … WRITE` by another session, such as a dump or an `ALTER TABLE`. */
const tablesLocked: DatabaseFault = {
  lastsMs: 20_000,
  shows: 'database',
  begin: (stage) =>
    bySession(stage, async (session) => {
      await session.query(`LOCK TABLES ${TABLES.map((table) => `${table} WRITE`).join(', ')}`);
    }),
};

/** A transaction of another session that holds every row and the gaps behind them. */
const rowsLocked: DatabaseFault = {
  lastsMs: 20_000,
  shows: 'database',
  begin: (stage) =>
    bySession(stage, async (session) => {
      await session.query('START TRANSACTION');
      for (const table of TABLES) await session.query(`SELECT COUNT(*) FROM ${table} FOR UPDATE`);
    }),
};

/** Another session that locks rows in the order opposite to the centre's, again and again. */
const deadlocks: DatabaseFault = {
  lastsMs: 15_000,
  shows: null,
  begin: async ({ setting, report }) => {
    const session = await createConnection(setting.database.url);
    const before = await statusOf(session, 'Innodb_deadlocks');
    let over = false;
    const provoking = provokeDeadlocks(session, () => over);
    return async () => {
      over = true;
      const own = await provoking;
      const count = (await statusOf(session, 'Innodb_deadlocks')) - before;
      report.figure('deadlocks', count);
      report.require(
        'deadlocks came about, also such as the centre lost',
        count > own,
        `${count}, ${own} lost by others`,
      );
      await session.end();
    };
  },
};

/** All of the centre's connections ended by `KILL`, twice a second. */
const connectionsKilled: DatabaseFault = {
  lastsMs: 10_000,
  shows: null,
  begin: async ({ setting, report }) => {
    const session = await createConnection(setting.database.url);
    let over = false;
    const killing = killConnections(session, 500, () => over);
    return async () => {
      over = true;
      const count = await killing;
      report.figure('killedConnections', count);
      report.require('connections were killed', count > 10, count);
      await session.end();
    };
  },
};

/** Others have taken all connections that the server gives. */
const tooManyConnections: DatabaseFault = {
  lastsMs: 15_000,
  shows: 'database',
  environment: (setting) => asUser(setting),
  begin: async ({ setting, report }) => {
    const { url } = setting.database;
    const root = await createConnection(url);
    await createUser(root, 'others', url);
    // The least that MariaDB takes; this session is one of them.
    await root.query('SET GLOBAL max_connections = 10');
    // Else the centre is back before the others have come.
    await root.query("ALTER USER 'centre'@'127.0.0.1' ACCOUNT LOCK");
    await killConnections(root, 0, () => true);
    const others: Connection[] = [];
    for (const giveUpAt = Date.now() + 5_000; others.length < 9 && Date.now() < giveUpAt;) {
      await createConnection(userUrl(url, 'others')).then(
        (connection) => others.push(connection),
        () => pause(50),
      );
    }
    await root.query("ALTER USER 'centre'@'127.0.0.1' ACCOUNT UNLOCK");
    report.require('others hold every connection', others.length === 9, others.length);
    return async () => {
      await root.query('SET GLOBAL max_connections = 151');
      await Promise.allSettled(others.map((connection) => connection.end()));
      await root.end();
    };
  },
};

/** What a full disk, a failover or an administrator makes of a server: everything can be read and nothing written. */
const readOnly: DatabaseFault = {
  lastsMs: 15_000,
  shows: 'database',
  environment: (setting) => asUser(setting),
  begin: (stage) =>
    bySession(stage, async (session) => {
      await session.query('SET GLOBAL read_only = 1');
      return async () => {
        await session.query('SET GLOBAL read_only = 0');
      };
    }),
};

/** A session that lives as long as the fault. */
async function bySession(
  { setting }: Stage,
  work: (session: Connection) => Promise<(() => Promise<void>) | undefined>,
): Promise<() => Promise<void>> {
  const session = await createConnection(setting.database.url);
  const undo = await work(session);
  return async () => {
    await undo?.();
    await session.end();
  };
}

/** Gives how often this session was the victim. */
async function provokeDeadlocks(session: Connection, isOver: () => boolean): Promise<number> {
  let lost = 0;
  while (!isOver()) {
    try {
      await session.query('START TRANSACTION');
      // The centre locks an event before its deliveries, and in ascending order of ids. Heavier transactions win.
      await session.query('UPDATE pub_event_delivery SET updated_at = updated_at + 1 ORDER BY event_id DESC LIMIT 200');
      await pause(30);
      await session.query('UPDATE pub_event SET registry_version = registry_version ORDER BY event_id DESC LIMIT 200');
      await session.query('SELECT COUNT(*) FROM pub_event_chain FOR UPDATE');
      await session.query('ROLLBACK');
    } catch (error) {
      if (!(error instanceof Error) || !('errno' in error) || error.errno !== 1213) throw error;
      lost += 1;
    }
  }
  return lost;
}

/** Gives how many were killed. */
async function killConnections(session: Connection, everyMs: number, isOver: () => boolean): Promise<number> {
  let killedCount = 0;
  do {
    const [rows] = await session.query(
      'SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()',
    );
    for (const { id } of rows as { id: number }[]) {
      await session.query(`KILL ${id}`).then(
        () => (killedCount += 1),
        () => undefined,
      );
    }
    await pause(everyMs);
  } while (!isOver());
  return killedCount;
}

async function statusOf(session: Connection, name: string): Promise<number> {
  const [rows] = await session.query('SHOW GLOBAL STATUS LIKE ?', [name]);
  return Number((rows as { Value: string }[])[0]?.Value);
}

/** The centre as a user without privileges beyond its database. */
async function asUser(setting: Setting): Promise<Record<string, string>> {
  const { url } = setting.database;
  const session = await createConnection(url);
  await createUser(session, 'centre', url);
  await session.end();
  return { EVENT_CENTER_DATABASE_URL: userUrl(url, 'centre') };
}

/** A user with all rights in the database of `url`, whose password is its name. */
async function createUser(session: Connection, name: string, url: string): Promise<void> {
  await session.query(`CREATE OR REPLACE USER '${name}'@'127.0.0.1' IDENTIFIED BY '${name}'`);
  await session.query(`GRANT ALL ON ${new URL(url).pathname.slice(1)}.* TO '${name}'@'127.0.0.1'`);
}

function userUrl(url: string, name: string): string {
  const changed = new URL(url);
  changed.username = name;
  changed.password = name;
  return changed.href;
}

function scenario(name: string, fault: DatabaseFault, promise: string, more: Partial<Scenario> = {}): Scenario {
  return { name, group: 'database', promise, run: (stage) => underDatabaseFault(stage, fault), ...more };
}

const PROXIED: Partial<Scenario> = { services: { proxies: ['database'] } };

export const scenarios: Scenario[] = [
  scenario(
    'database-restarted',
    restarted,
    'MariaDB is stopped and started at once: nobody who sends or receives notices.',
  ),
  scenario('database-killed', killed, 'kill -9 of MariaDB, started again after 8 s: as if it had been stopped.'),
  scenario(
    'database-slow',
    slow,
    'Every packet to and from the database takes 0.3 s, then 2.5 s: sending and delivering keep their pace, the journal catches up.',
    PROXIED,
  ),
  scenario(
    'database-silent',
    silent,
    'The database does not answer any more, without closing anything, for 25 s: it counts as away after `database.queryTimeoutMs`.',
    PROXIED,
  ),
  scenario(
    'database-half-open',
    halfOpen,
    'All connections to the database are silent and never closed, new ones work: they are replaced soon after the first time-out.',
    PROXIED,
  ),
  scenario(
    'database-tables-locked',
    tablesLocked,
    'Another session holds the tables of the journal, claims and keys with `LOCK TABLES … WRITE` for 20 s.',
  ),
  scenario('database-rows-locked', rowsLocked, 'Another transaction holds all their rows and gaps for 20 s.'),
  scenario(
    'database-deadlocks',
    deadlocks,
    'Another session provokes deadlocks with the journal for 15 s: they are repeated, and nobody notices.',
  ),
  scenario(
    'database-connections-killed',
    connectionsKilled,
    'All connections of the centre are ended by `KILL` twice a second for 10 s.',
  ),
  scenario(
    'database-too-many-connections',
    tooManyConnections,
    'Others hold every connection that the server gives for 15 s.',
  ),
  scenario(
    'database-read-only',
    readOnly,
    'The server refuses every write for 15 s, as after a failover or on a full disk.',
  ),
];
