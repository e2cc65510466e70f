import type { SpokenDialect } from '../sql/dialect.js';
import type { SqlExecutor } from '../sql/executor.js';
import { statementsOn } from '../sql/statements.js';
import type { RelayDatabase } from './relay-database.js';

interface MysqlConnection extends SqlExecutor {
  release(): void;
  destroy(): void;
}

/** A pool of `mysql2/promise`, by what the relay uses of it. */
export interface MysqlPool extends SqlExecutor {
  getConnection(): Promise<MysqlConnection>;
}

export function mysqlDatabase(pool: MysqlPool): RelayDatabase {
  return {
    ...statementsOn('mysql', pool),
    transaction: async (work) => {
      const connection = await pool.getConnection();
      try {
        await connection.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED');
        await connection.query('START TRANSACTION');
        const result = await work(statementsOn('mysql', connection));
        await connection.query('COMMIT');
        connection.release();
        return result;
      } catch (error) {
        await rolledBack(connection);
        throw error;
      }
    },
  };
}

async function rolledBack(connection: MysqlConnection): Promise<void> {
  try {
    await connection.query('ROLLBACK');
    connection.release();
  } catch {
    // What it has open is unknown: nobody may get it from the pool again.
    connection.destroy();
  }
}

/** A TypeORM DataSource, by what the relay uses of it. */
export interface DataSource extends SqlExecutor {
  options: { type: string };
  driver: { databaseConnection?: unknown };
  isInitialized: boolean;
  transaction<T>(isolation: 'READ COMMITTED', work: (manager: SqlExecutor) => Promise<T>): Promise<T>;
}

export function dataSourceDatabase(dialect: SpokenDialect, dataSource: DataSource): RelayDatabase {
  return {
    ...statementsOn(dialect, dataSource),
    transaction: (work) => dataSource.transaction('READ COMMITTED', (manager) => work(statementsOn(dialect, manager))),
  };
}

interface PostgresClient extends SqlExecutor {
  release(error?: boolean): void;
}

/** A pool of `pg`, by what the relay uses of it. */
export interface PostgresPool extends SqlExecutor {
  connect(): Promise<PostgresClient>;
}

export function postgresDatabase(pool: PostgresPool): RelayDatabase {
  return {
    ...statementsOn('postgres', pool),
    transaction: async (work) => {
      const client = await pool.connect();
      try {
        await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
        const result = await work(statementsOn('postgres', client));
        await client.query('COMMIT');
        client.release();
        return result;
      } catch (error) {
        await rolledBackClient(client);
        throw error;
      }
    },
  };
}

async function rolledBackClient(client: PostgresClient): Promise<void> {
  try {
    await client.query('ROLLBACK');
    client.release();
  } catch {
    client.release(true);
  }
}
