import { unavailable, RefusedRowError } from '../../src/store/database-errors.js';
import { SharedWrites } from '../../src/store/shared-writes.js';

/** Statements that are ended by hand, one after another. */
class Statements {
  readonly begun: string[][] = [];
  readonly #ends: ((error?: Error) => void)[] = [];

  write = (items: string[]): Promise<void> => {
    this.begun.push(items);
    return new Promise((resolve, reject) => {
      this.#ends.push((error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  };

  async end(error?: Error): Promise<void> {
    this.#ends.shift()?.(error);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const outcomes = (writes: Promise<void>[]): Promise<string[]> =>
  Promise.allSettled(writes).then((results) => results.map(({ status }) => status));

describe('shared writes', () => {
  it('write the first at once, and what comes meanwhile together, up to the most', async () => {
    const statements = new Statements();
    const shared = new SharedWrites({ write: statements.write, most: 3, atATime: 1 });
    const writes = ['a', 'b', 'c', 'd', 'e'].map((item) => shared.add(item));
    expect(statements.begun).toEqual([['a']]);
    await statements.end();
    expect(statements.begun).toEqual([['a'], ['b', 'c', 'd']]);
    await statements.end();
    expect(statements.begun).toEqual([['a'], ['b', 'c', 'd'], ['e']]);
    await statements.end();
    expect(await outcomes(writes)).toEqual(Array(5).fill('fulfilled'));
  });

  it('write each by itself when a row of several is refused, and tell only its own caller', async () => {
    const refused = new RefusedRowError('duplicate', 'there already');
    const shared = new SharedWrites<string>({
      write: async (items) => {
        if (items.includes('bad')) throw refused;
      },
      most: 10,
      atATime: 1,
    });
    const writes = ['first', 'good', 'bad', 'better'].map((item) => shared.add(item));
    await expect(writes[2]).rejects.toBe(refused);
    expect(await outcomes(writes)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  });

  it('fail together when the database is away, and go on with the next', async () => {
    const statements = new Statements();
    const shared = new SharedWrites({ write: statements.write, most: 10, atATime: 1 });
    const writes = ['a', 'b', 'c'].map((item) => shared.add(item));
    const ended = outcomes(writes);
    await statements.end();
    await statements.end(unavailable('away'));
    expect(await ended).toEqual(['fulfilled', 'rejected', 'rejected']);
    const later = shared.add('d');
    await statements.end();
    await later;
    expect(statements.begun).toEqual([['a'], ['b', 'c'], ['d']]);
  });
});
