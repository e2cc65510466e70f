import { randomBytes } from 'node:crypto';
import { createConnection } from 'mysql2/promise';

/** The MariaDB or MySQL server of the tests, without a database name. */
const DATABASE_SERVER_URL = (process.env['EVENT_CENTER_TEST_DATABASE_URL'] ?? 'mysql://root@127.0.0.1:3306').replace(
  /\/$/,
  '',
);

/** Makes an empty database of its own on the server. */
export async function createOnServer(): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `ec_test_${randomBytes(6).toString('hex')}`;
  await onServer(`CREATE DATABASE ${name} CHARACTER SET latin1`);
  return { url: `${DATABASE_SERVER_URL}/${name}`, drop: () => onServer(`DROP DATABASE ${name}`) };
}

async function onServer(statement: string): Promise<void> {
  const connection = await createConnection(DATABASE_SERVER_URL);
  await connection.query(statement);
  await connection.end();
}
