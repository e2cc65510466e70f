import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, type Pool } from 'mysql2/promise';
import { DataSource } from 'typeorm';
import { createOnServer } from '../../../test/support/mysql-server.js';
import { until } from '../../../test/support/until.js';
import { SqlInbox } from '../../src/inbox/index.js';
import type { SqlDialect, SqlExecutor } from '../../src/inbox/index.js';

const nothing = async (): Promise<void> => {};

/** A database with an application's table, spoken to by one driver. */
interface Setting {
  dialect: SqlDialect;
  /** Two of them are two processes: they share nothing but the database. */
  executors: [SqlExecutor, SqlExecutor];
  transaction<T>(executor: SqlExecutor, work: (transaction: SqlExecutor) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

async function typeorm(
  dialect: 'mysql' | 'sqlite',
  open: () => DataSource,
  remove: () => Promise<void>,
): Promise<Setting> {
  const sources = [await open().initialize(), await open().initialize()] as const;
  return {
    dialect,
    executors: [sources[0], sources[1]],
    transaction: (executor, work) => (executor as DataSource).transaction((manager) => work(manager)),
    close: async () => {
      for (const source of sources) await source.destroy();
      await remove();
    },
  };
}

const SETTINGS: [string, () => Promise<Setting>][] = [
  [
    'TypeORM and SQLite',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'inbox-'));
      const database = join(folder, 'app.sqlite');
      return typeorm(
        'sqlite',
        () => new DataSource({ type: 'better-sqlite3', database, timeout: 200 }),
        async () => {
          rmSync(folder, { recursive: true });
        },
      );
    },
  ],
  [
    'TypeORM and MariaDB',
    async () => {
      const { url, drop } = await createOnServer();
      return typeorm('mysql', () => new DataSource({ type: 'mysql', url }), drop);
    },
  ],
  [
    'mysql2 and MariaDB',
    async () => {
      const { url, drop } = await createOnServer();
      const pools: [Pool, Pool] = [createPool(url), createPool(url)];
      return {
        dialect: 'mariadb',
        executors: pools,
        transaction: async (executor, work) => {
          const connection = await (executor as Pool).getConnection();
          try {
            await connection.beginTransaction();
            const result = await work(connection);
            await connection.commit();
            return result;
          } catch (error) {
            await connection.rollback();
            throw error;
          } finally {
            connection.release();
          }
        },
        close: async () => {
          for (const pool of pools) await pool.end();
          await drop();
        },
      };
    },
  ],
];

describe.each(SETTINGS)('an inbox over %s', (_name, open) => {
  let setting: Setting;
  let inboxes: [SqlInbox, SqlInbox];

  const inboxOf = (executor: SqlExecutor, leaseMs = 60_000) =>
    new SqlInbox({ executor, dialect: setting.dialect, leaseMs });

  beforeAll(async () => {
    setting = await open();
    const [executor] = setting.executors;
    // A migration may run twice.
    for (const statement of SqlInbox.createTableSql({ dialect: setting.dialect })) {
      await executor.query(statement, []);
    }
    await inboxOf(executor).createTable();
    await inboxOf(setting.executors[1]).createTable(executor);
    await executor.query('CREATE TABLE orders (event_id VARCHAR(64) NOT NULL)', []);
    inboxes = [inboxOf(setting.executors[0]), inboxOf(setting.executors[1])];
  });

  afterAll(() => setting.close());

  async function rowsOf(table: string, eventId: string): Promise<any[]> {
    const result = (await setting.executors[0].query(`SELECT * FROM ${table} WHERE event_id = ?`, [eventId])) as any[];
    return Array.isArray(result[0]) ? result[0] : result;
  }

  it('acts once, in whichever process', async () => {
    let acted = 0;
    const act = async (): Promise<void> => void (acted += 1);
    const key = { eventId: 'once', listenerId: 'a' };
    expect(await inboxes[0].run(key, act)).toBe('done');
    expect(await inboxes[0].run(key, act)).toBe('repeated');
    expect(await inboxes[1].run(key, act)).toBe('repeated');
    expect(await inboxes[1].run({ ...key, listenerId: 'b' }, act)).toBe('done');
    expect(await inboxes[1].run({ eventId: 'once' }, act)).toBe('done');
    expect(acted).toBe(3);
  });

  it('lets one of many copies at the same time act', async () => {
    let acting = 0;
    let acted = 0;
    const act = async (): Promise<void> => {
      acting += 1;
      expect(acting).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 50));
      acting -= 1;
      acted += 1;
    };
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, copy) => inboxes[(copy % 2) as 0 | 1].run({ eventId: 'many' }, act)),
    );
    expect(results.filter((result) => result === 'done')).toHaveLength(1);
    expect(acted).toBe(1);
    expect(await inboxes[1].run({ eventId: 'many' }, act)).toBe('repeated');
  });

  it('gives an event back that failed', async () => {
    const key = { eventId: 'failed' };
    await expect(inboxes[0].run(key, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await rowsOf('event_center_inbox', 'failed')).toEqual([]);
    expect(await inboxes[1].run(key, nothing)).toBe('done');
  });

  it('gives an event of a process that died to another, when its claim expires', async () => {
    const key = { eventId: 'died' };
    // What a process leaves that is killed in the middle: statements that no longer come.
    let alive = true;
    const dying = inboxOf(
      { query: (sql, parameters) => (alive ? setting.executors[0].query(sql, parameters) : new Promise(() => {})) },
      300,
    );
    let claimed = false;
    let end = (): void => {};
    void dying.run(key, async () => {
      claimed = true;
      await new Promise((resolve) => (end = () => resolve(undefined)));
    });
    await until('the first has claimed it', () => Promise.resolve(claimed));
    alive = false;
    expect(await inboxes[1].run(key, nothing)).toBe('busy');
    const results: string[] = [];
    await until('another acts', async () => {
      results.push(...(await Promise.all([inboxes[0].run(key, nothing), inboxes[1].run(key, nothing)])));
      return results.includes('done');
    });
    expect(results.filter((result) => result === 'done')).toHaveLength(1);
    end();
  });

  it('holds an event for longer than its lease while its process lives', async () => {
    const key = { eventId: 'slow' };
    const patient = inboxOf(setting.executors[0], 200);
    let finish = (): void => {};
    const running = patient.run(key, () => new Promise<void>((resolve) => (finish = resolve)));
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(await inboxes[1].run(key, () => Promise.reject(new Error('acted twice')))).toBe('busy');
    finish();
    expect(await running).toBe('done');
  });

  describe('in the transaction of the application', () => {
    const place = (executor: SqlExecutor, inbox: SqlInbox, eventId: string) =>
      setting.transaction(executor, async (transaction) => {
        if (!(await inbox.record(transaction, { eventId }))) return 'repeated';
        await transaction.query('INSERT INTO orders (event_id) VALUES (?)', [eventId]);
        return 'placed';
      });

    it('commits act and mark together', async () => {
      expect(await place(setting.executors[0], inboxes[0], 'together')).toBe('placed');
      expect(await place(setting.executors[1], inboxes[1], 'together')).toBe('repeated');
      expect(await rowsOf('orders', 'together')).toHaveLength(1);
    });

    it('rolls both back together', async () => {
      const failing = setting.transaction(setting.executors[0], async (transaction) => {
        expect(await inboxes[0].record(transaction, { eventId: 'rolled' })).toBe(true);
        await transaction.query('INSERT INTO orders (event_id) VALUES (?)', ['rolled']);
        throw new Error('the business says no');
      });
      await expect(failing).rejects.toThrow('the business says no');
      expect(await rowsOf('event_center_inbox', 'rolled')).toEqual([]);
      expect(await place(setting.executors[1], inboxes[1], 'rolled')).toBe('placed');
      expect(await rowsOf('orders', 'rolled')).toHaveLength(1);
    });

    it('has the effect once when copies race', async () => {
      // SQLite has one writer in a file and one transaction in a process: the second of two is refused as busy there.
      const copies = setting.dialect === 'sqlite' ? 1 : 4;
      const results = await Promise.allSettled(
        Array.from({ length: 2 * copies }, (_, copy) => {
          const side = (copy % 2) as 0 | 1;
          return place(setting.executors[side], inboxes[side], 'raced');
        }),
      );
      const placed = results.filter((result) => result.status === 'fulfilled' && result.value === 'placed');
      expect(placed).toHaveLength(1);
      expect(await rowsOf('orders', 'raced')).toHaveLength(1);
    });

    it('says so when run holds the event', async () => {
      let finish = (): void => {};
      let started = false;
      const running = inboxes[0].run({ eventId: 'mixed' }, () => {
        started = true;
        return new Promise<void>((resolve) => (finish = resolve));
      });
      await until('it runs', () => Promise.resolve(started));
      await expect(place(setting.executors[1], inboxes[1], 'mixed')).rejects.toMatchObject({ code: 'IN_PROGRESS' });
      finish();
      await running;
    });
  });

  it('forgets what is old, and what it is told to', async () => {
    await inboxes[0].run({ eventId: 'old' }, nothing);
    await inboxes[0].forgetBefore(new Date(Date.now() - 60_000));
    expect(await inboxes[0].run({ eventId: 'old' }, nothing)).toBe('repeated');
    await inboxes[0].forget({ eventId: 'old' });
    expect(await inboxes[0].run({ eventId: 'old' }, nothing)).toBe('done');
    await inboxes[0].forgetBefore(Date.now() + 60_000);
    expect(await inboxes[0].run({ eventId: 'old' }, nothing)).toBe('done');
  });

  it('forgets what a process that died began, and not what one is acting on', async () => {
    const [executor] = setting.executors;
    await executor.query(
      'INSERT INTO event_center_inbox (event_id, listener_id, claim_token, claimed_until) ' +
        `VALUES ('left', '', 'token', 1000)`,
    );
    let acted = 0;
    await inboxes[0].run({ eventId: 'under-way' }, async () => {
      acted += 1;
      await inboxes[1].forgetBefore(Date.now() + 3_600_000);
      expect(await inboxes[1].run({ eventId: 'under-way' }, nothing)).toBe('busy');
    });
    expect(acted).toBe(1);
    const answer = (await executor.query('SELECT event_id FROM event_center_inbox')) as any[];
    const rows = Array.isArray(answer[0]) ? answer[0] : answer;
    expect(rows.map((row: { event_id: string }) => row.event_id)).toEqual(['under-way']);
  });
});

describe('what an inbox says to Postgres', () => {
  it('numbers its parameters and reads rows as pg answers', async () => {
    const said: string[] = [];
    let token: unknown;
    const executor: SqlExecutor = {
      query: async (sql, parameters) => {
        said.push(sql);
        if (sql.startsWith('INSERT')) token = parameters?.[2];
        return { rows: sql.startsWith('SELECT') ? [{ token, done: 0, expired: 0 }] : [] };
      },
    };
    expect(
      await new SqlInbox({ executor, dialect: 'postgres', table: 'app.inbox' }).run({ eventId: 'e' }, nothing),
    ).toBe('done');
    expect(said).toHaveLength(3);
    expect(said[0]).toMatch(/^INSERT INTO app\.inbox .* VALUES \(\$1, \$2, \$3, .*\) ON CONFLICT DO NOTHING$/);
    expect(said[2]).toMatch(/^UPDATE app\.inbox SET done_at = .*\$1 .*\$2 .*\$3 AND done_at IS NULL$/);
    expect(SqlInbox.createTableSql({ dialect: 'postgres', table: 'app.inbox' }).join(';')).not.toContain('KEY app');
  });

  it('refuses wrong options', () => {
    const executor: SqlExecutor = { query: async () => [] };
    expect(() => new SqlInbox({ executor, dialect: 'oracle' as never })).toThrow(/^dialect: /);
    expect(() => new SqlInbox({ executor, dialect: 'mysql', table: 'a; DROP' })).toThrow(/^table: /);
    expect(() => new SqlInbox({ executor, dialect: 'mysql', leaseMs: 1 })).toThrow(/^leaseMs: /);
    expect(() => new SqlInbox({ executor: {} as never, dialect: 'mysql' })).toThrow(/^executor: /);
    expect(() => SqlInbox.createTableSql({ dialect: 'mysql', table: 'x y' })).toThrow(/^table: /);
  });
});
