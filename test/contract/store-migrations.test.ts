import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { uuidFromBytes } from '../../src/store/columns.js';
import { dataSourceOptions } from '../../src/store/data-source.js';
import { entities } from '../../src/store/entities.js';
import { rowsOf } from '../../src/store/sql.js';
import { describeEachDatabase, type TestDatabase } from '../support/databases.js';

const run = promisify(execFile);

describeEachDatabase('the migrations', (create) => {
  let test: TestDatabase;
  beforeEach(async () => {
    test = await create();
  });
  afterEach(() => test.remove());

  it('leave nothing to do for the schema builder, and can be undone and done again', async () => {
    const database = await test.openMigrated();
    const options = dataSourceOptions({ url: test.url, poolSize: 1, queryTimeoutMs: 30_000, entities, migrations });
    // TypeORM reads a MariaDB's tables back correctly only when it is told so; nothing else depends on it.
    const version = await database.run((manager) => manager.query('SELECT version() AS version').catch(() => []));
    const isMariaDb = /mariadb/i.test(JSON.stringify(version));
    const dataSource = await new DataSource({
      ...options,
      ...(isMariaDb ? { type: 'mariadb' } : {}),
    } as DataSourceOptions).initialize();
    try {
      expect(await schemaDrift(dataSource)).toEqual([]);
      for (let left = migrations.length; left > 0; left -= 1)
        await dataSource.undoLastMigration({ transaction: 'none' });
      const runner = dataSource.createQueryRunner();
      for (const { tableName } of dataSource.entityMetadatas)
        expect([tableName, await runner.hasTable(tableName)]).toEqual([tableName, false]);
      await runner.release();
      await dataSource.runMigrations({ transaction: 'none' });
      expect(await schemaDrift(dataSource)).toEqual([]);
    } finally {
      await dataSource.destroy();
    }
  });

  it('run once, however often they are called', async () => {
    const database = test.open();
    expect(await database.hasPendingMigrations()).toBe(true);
    expect(await database.migrate()).toHaveLength(migrations.length);
    expect(await database.hasPendingMigrations()).toBe(false);
    expect(await database.migrate()).toEqual([]);
  });

  it('run once when several processes start together', async () => {
    const script = ['--import', 'tsx', 'test/support/migrate-process.ts', test.url];
    const ran = await Promise.all([1, 2, 3].map(() => run(process.execPath, script)));
    expect(ran.map((result) => Number(result.stdout)).sort()).toEqual([0, 0, migrations.length]);
  });

  it('bring the built-in event type and registry version 0', async () => {
    const database = await test.openMigrated();
    const types = await database.run((manager) =>
      rowsOf<{ id: Buffer; sourceid: string; eventtypecode: string; owner: string }>(
        manager,
        'SELECT id, sourceid, eventtypecode, owner FROM pub_eventtype',
      ),
    );
    expect(types.map((type) => ({ ...type, id: uuidFromBytes(type.id) }))).toEqual([
      {
        id: '254ddc26-71bc-5f69-b1a0-47c3e7281407',
        sourceid: 'EVENT_CENTER',
        eventtypecode: 'DELIVERY_EXHAUSTED',
        owner: 'EVENT_CENTER',
      },
    ]);
    expect(await database.run((manager) => rowsOf(manager, 'SELECT version FROM pub_registry'))).toEqual([
      { version: 0 },
    ]);
  });
});

async function schemaDrift(dataSource: DataSource): Promise<string[]> {
  const changes = await dataSource.driver.createSchemaBuilder().log();
  return changes.upQueries.map((query) => query.query);
}
