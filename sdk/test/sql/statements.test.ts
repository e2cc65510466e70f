import { checkedDialect } from '../../src/sql/dialect.js';
import { statementsOn } from '../../src/sql/statements.js';
import { checkedTable } from '../../src/sql/table.js';

it('numbers the places of values for PostgreSQL only', async () => {
  const said: unknown[] = [];
  const executor = {
    query: async (sql: string, parameters?: unknown[]) => {
      said.push([sql, parameters]);
      return { rows: [], rowCount: 2 };
    },
  };
  expect(await statementsOn('postgres', executor).run('UPDATE t SET a = ? WHERE b = ?', [1, 'x'])).toBe(2);
  expect(await statementsOn('mysql', executor).rows('SELECT ?', [null])).toEqual([]);
  expect(said).toEqual([
    ['UPDATE t SET a = $1 WHERE b = $2', [1, 'x']],
    ['SELECT ?', [null]],
  ]);
});

it('speaks to the promises of a connection whose calls take callbacks', async () => {
  const promised = { query: async () => [[{ a: 1 }], []] };
  const callback = { query: () => ({ onResult: 'a command, no rows' }), promise: () => promised };
  expect(await statementsOn('mysql', callback).rows('SELECT 1 AS a', [])).toEqual([{ a: 1 }]);
});

it('knows MariaDB as MySQL', () => {
  expect(checkedDialect('mariadb')).toBe('mysql');
});

it.each(['oracle', 'toString', '', undefined])('refuses the dialect %p', (dialect) => {
  expect(() => checkedDialect(dialect as never)).toThrow(/^dialect: expected one of mysql, mariadb, sqlite, postgres/);
});

it.each(['inbox', 'app.inbox', '_1', 'x'.repeat(48)])('takes the table %p', (table) => {
  expect(checkedTable({ dialect: 'mariadb', table })).toEqual({ dialect: 'mysql', table });
});

it.each(['', 'x'.repeat(49), '1a', 'a b', 'a.b.c', 'a;', 'a\n', '`a`'])('refuses the table %p', (table) => {
  expect(() => checkedTable({ dialect: 'mysql', table })).toThrow(/^table: /);
});

it('refuses what runs no statements', () => {
  expect(() => statementsOn('mysql', {} as never)).toThrow(/^executor: /);
  expect(() => statementsOn('mysql', undefined as never)).toThrow(/^executor: /);
});
