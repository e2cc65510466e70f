import { NameLookups, type NameLookupsOptions } from '../../src/callback/name-lookups.js';

const SLOW_MS = 1_500;

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

/** Look-ups that end when the test says so. */
class HeldLookups {
  readonly begun: string[] = [];
  readonly told: string[] = [];
  readonly #running = new Map<string, () => void>();
  readonly #lookups: NameLookups;

  constructor(options: Partial<NameLookupsOptions> = {}) {
    this.#lookups = new NameLookups({
      timeoutMs: 10_000,
      threads: 2,
      resolve: (hostname, _, callback) => {
        this.begun.push(hostname);
        this.#running.set(hostname, () => callback(null, []));
      },
      ...options,
    });
  }

  get running(): string[] {
    return [...this.#running.keys()];
  }

  find(...names: string[]): void {
    for (const name of names) this.#lookups.find(name, {}, () => this.told.push(name));
  }

  end(name: string): void {
    const end = this.#running.get(name);
    if (end === undefined) throw new Error(`${name} is not being looked up`);
    this.#running.delete(name);
    end();
  }

  /** Looks names up, one after another, each within the time that counts as quick. */
  quick(...names: string[]): void {
    for (const name of names) {
      this.find(name);
      this.end(name);
    }
  }

  /** Looks names up, one after another, each for longer than that. */
  slow(...names: string[]): void {
    for (const name of names) {
      this.find(name);
      jest.advanceTimersByTime(SLOW_MS);
      this.end(name);
    }
  }
}

describe('a look-up', () => {
  it('runs once for a name, and tells all who asked for it until it ended', () => {
    const held = new HeldLookups();
    held.find('a', 'a', 'a');
    expect(held.begun).toEqual(['a']);
    held.end('a');
    expect(held.told).toEqual(['a', 'a', 'a']);
    held.find('a');
    expect(held.begun).toEqual(['a', 'a']);
  });

  it('passes the hints and the error on', () => {
    const asked: unknown[] = [];
    const lookups = new NameLookups({
      timeoutMs: 1_000,
      resolve: (hostname, options, callback) => {
        asked.push(hostname, options);
        callback(new Error('no such name'), []);
      },
    });
    const errors: unknown[] = [];
    lookups.find('a', { hints: 32 }, (error) => errors.push(error?.message));
    expect(asked).toEqual(['a', { hints: 32, all: true }]);
    expect(errors).toEqual(['no such name']);
  });

  it('of slow names leaves the other threads to names that answered in time', () => {
    const held = new HeldLookups();
    held.quick('good', 'fine');
    held.slow('s1', 's2');
    held.find('s1', 's2', 's3', 's4');
    jest.advanceTimersByTime(SLOW_MS);
    expect(held.running).toHaveLength(1);
    held.find('good', 'fine');
    expect(held.running).toEqual(expect.arrayContaining(['good', 'fine']));
  });

  it('of a name that was slow runs beside no other such one, however many threads there are', () => {
    const held = new HeldLookups({ threads: 8 });
    held.slow('s1', 's2', 's3');
    held.find('s1', 's2', 's3');
    expect(held.running).toEqual(['s1']);
    held.end('s1');
    expect(held.running).toEqual(['s2']);
  });

  it('of names of which nothing is known leave a thread alone, and come before slow ones', () => {
    const held = new HeldLookups({ threads: 3 });
    held.slow('s1', 's2');
    held.find('s1', 's2', 'n1', 'n2', 'n3');
    expect(held.running).toEqual(['s1', 'n1']);
    held.end('s1');
    expect(held.running).toEqual(['n1', 'n2']);
    held.end('n1');
    expect(held.running).toEqual(['n2', 'n3']);
    held.end('n2');
    expect(held.running).toEqual(['n3', 's2']);
  });

  it('that turns out slow makes the others of its kind wait', () => {
    const held = new HeldLookups();
    held.quick('good');
    held.find('good');
    jest.advanceTimersByTime(SLOW_MS);
    held.find('new');
    expect(held.running).toEqual(['good']);
    held.end('good');
    expect(held.running).toEqual(['new']);
  });

  it('of a name that answers in time again counts as one of a good name', () => {
    const held = new HeldLookups();
    held.slow('s1', 's2');
    held.quick('s1');
    held.find('s2', 's1');
    expect(held.running).toEqual(['s2', 's1']);
  });

  it('is not begun any more when nobody waits for it', () => {
    const held = new HeldLookups({ timeoutMs: 2_000 });
    held.find('n1', 'n2');
    expect(held.running).toEqual(['n1']);
    jest.advanceTimersByTime(2_500);
    held.find('n3', 'n1');
    held.end('n1');
    expect(held.running).toEqual(['n3']);
    // Only the second one who asked for it still waited.
    expect(held.told).toEqual(['n1']);
  });

  it('makes its name known for a bounded time', () => {
    const held = new HeldLookups({ rememberMs: 50_000 });
    held.slow('s1');
    held.find('n1', 's1', 'n2');
    held.end('n1');
    expect(held.running).toEqual(['n2']);
    held.end('n2');
    held.end('s1');
    held.quick('s1');
    jest.advanceTimersByTime(60_000);
    held.find('n3', 's1');
    expect(held.running).toEqual(['n3']);
  });

  it('makes a bounded number of names known', () => {
    const held = new HeldLookups({ rememberNames: 2 });
    held.quick('a', 'b', 'c');
    held.find('n', 'a', 'b', 'c');
    expect(held.running).toEqual(['n', 'b', 'c']);
  });
});
