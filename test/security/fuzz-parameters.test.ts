import fc from 'fast-check';
import { loadConfig, environmentName, optionPaths } from '../../src/config.js';
import { parseDeliverAt, parseTime } from '../../src/core/accepting/deliver-at.js';
import { hasCode } from '../../src/core/errors.js';
import { pageOf, positionOf } from '../../src/store/page-cursor.js';
import { fuzzIt } from '../support/fuzzing.js';
import { mutated } from '../support/mutations.js';

const DAY_MS = 86_400_000;
const NOW = 1_800_000_000_000;
const dice = fc.infiniteStream(fc.nat());

/** What `read` gives, or null when it refuses with `code`; anything else that is thrown breaks the test. */
function given<T>(code: 'INVALID_PARAM' | 'CONFIG_INVALID', read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (hasCode(error, code) && error.fields.length > 0) return null;
    throw error;
  }
}

describe('the cursor of a page', () => {
  const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes));
  const place = fc.record({ time: fc.maxSafeNat(), ids: fc.array(id, { minLength: 1, maxLength: 2 }) });
  const cursorOf = (position: { time: number; ids: Buffer[] }): string =>
    pageOf([1, 2], { limit: 1, cursor: null }, { item: (row) => row, position: () => position }).nextCursor!;

  fuzzIt('leads to where its page ended', place, (position) => {
    expect(positionOf(cursorOf(position), position.ids.length)).toEqual(position);
  });

  fuzzIt(
    'that nobody gave is refused, or is the one of a place',
    fc.tuple(place, fc.oneof(dice, fc.string()), fc.constantFrom(1, 2)),
    ([position, change, idCount]) => {
      const cursor = typeof change === 'string' ? change : mutated(Buffer.from(cursorOf(position)), change).toString();
      const read = given('INVALID_PARAM', () => positionOf(cursor, idCount));
      if (read !== null) expect([cursorOf(read), read.ids.length]).toEqual([cursor, idCount]);
    },
  );
});

describe('the time of a scheduled event', () => {
  const written = fc
    .tuple(
      fc.date({ min: new Date(0), max: new Date('9999-12-30'), noInvalidDate: true }),
      fc.integer({ min: -1439, max: 1439 }),
    )
    .map(([date, offset]) => {
      const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, -1);
      const [hours, minutes] = [Math.trunc(Math.abs(offset) / 60), Math.abs(offset) % 60].map((one) =>
        String(one).padStart(2, '0'),
      );
      return { date, text: `${local}${offset < 0 ? '-' : '+'}${hours}:${minutes}` };
    });

  fuzzIt('is read as it was written, with any offset', written, ({ date, text }) => {
    expect(parseTime(text)).toBe(date.getTime());
  });

  fuzzIt(
    'that was changed, or is any text, is refused or is a time within a year',
    fc.tuple(written, fc.oneof(dice, fc.string())),
    ([{ text }, change]) => {
      const asked = typeof change === 'string' ? change : mutated(Buffer.from(text), change).toString();
      const time = given('INVALID_PARAM', () => parseDeliverAt(asked, NOW));
      if (time === null) return;
      expect(Number.isSafeInteger(time)).toBe(true);
      expect(time - NOW).toBeLessThanOrEqual(366 * DAY_MS);
      const byDate = Date.parse(asked.toUpperCase());
      if (!Number.isNaN(byDate) && !/^\d+$/.test(asked)) expect(Math.abs(time - byDate)).toBeLessThanOrEqual(1);
    },
  );
});

describe('the configuration', () => {
  const variables = optionPaths().map(environmentName);
  const value = fc.oneof(
    fc.constantFrom(
      '0',
      '-1',
      'true',
      'null',
      '1e9',
      'NaN',
      '10.0.0.0/8',
      '__proto__',
      'amqp://x',
      'mysql://h/d',
      'sqlite:',
    ),
    fc.string(),
  );
  const environment = fc.dictionary(fc.constantFrom(...variables), value, { maxKeys: 4 });

  fuzzIt(
    'is read whole, or refused with every option that is wrong, and never with the value of a secret',
    environment,
    (values) => {
      const planted = { ...values, EVENT_CENTER_MASTER_KEY: 'PLANTED-SECRET-OF-A-KEY' };
      try {
        loadConfig(planted);
        throw new Error('a wrong master key was taken');
      } catch (error) {
        if (!hasCode(error, 'CONFIG_INVALID')) throw error;
        expect(error.message).not.toContain('PLANTED');
        expect(error.fields.some(({ path }) => path.startsWith('masterKey'))).toBe(true);
      }
      given('CONFIG_INVALID', () => loadConfig(values));
    },
    { long: 20_000, short: 300 },
  );
});
