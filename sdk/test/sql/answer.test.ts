import { changedBy, rowsOf } from '../../src/sql/answer.js';

const row = { id: 1 };

it.each<[driver: string, answer: unknown]>([
  ['TypeORM', [row]],
  ['mysql2', [[row], [{ name: 'id' }]]],
  ['pg', { rows: [row], rowCount: 1 }],
])('reads the rows that %s answers', (_, answer) => {
  expect(rowsOf(answer)).toEqual([row]);
});

it.each<[driver: string, answer: unknown]>([
  ['TypeORM', []],
  ['mysql2', [[], []]],
  ['pg', { rows: [] }],
])('reads that there is no row from what %s answers', (_, answer) => {
  expect(rowsOf(answer)).toEqual([]);
});

it.each([undefined, null, 'rows', {}])('refuses %p instead of taking it for no rows', (answer) => {
  expect(() => rowsOf(answer)).toThrow('expected rows');
});

it.each<[driver: string, answer: unknown]>([
  ['mysql2', [{ affectedRows: 3 }, undefined]],
  ['TypeORM on MySQL', { affectedRows: 3 }],
  ['TypeORM on PostgreSQL', [[], 3]],
  ['pg', { rows: [], rowCount: 3 }],
])('reads how many rows were changed from what %s answers', (_, answer) => {
  expect(changedBy(answer)).toBe(3);
});
