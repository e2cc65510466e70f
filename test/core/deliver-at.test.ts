import fc from 'fast-check';
import { parseDeliverAt } from '../../src/core/accepting/deliver-at.js';

const NOW = Date.UTC(2030, 0, 1);

describe('deliverAt', () => {
  it.each([
    ['2030-01-31T08:00:00Z', Date.UTC(2030, 0, 31, 8)],
    ['2030-01-31t08:00:00z', Date.UTC(2030, 0, 31, 8)],
    ['2030-01-31 08:00:00+08:00', Date.UTC(2030, 0, 31, 0)],
    ['2030-01-31T08:00:00-03:30', Date.UTC(2030, 0, 31, 11, 30)],
    ['2030-01-31T08:00:00.25Z', Date.UTC(2030, 0, 31, 8) + 250],
    ['2030-01-31T08:00:00.069Z', Date.UTC(2030, 0, 31, 8) + 69],
    ['2030-01-31T08:00:00.0000001Z', Date.UTC(2030, 0, 31, 8) + 1],
    ['2028-02-29T00:00:00Z', Date.UTC(2028, 1, 29)],
    ['0', 0],
    ['1893456000000', 1_893_456_000_000],
  ])('reads %s', (text, expected) => {
    expect(parseDeliverAt(text, NOW)).toBe(expected);
  });

  it.each([
    '2030-02-30T00:00:00Z',
    '2029-02-29T00:00:00Z',
    '2030-13-01T00:00:00Z',
    '2030-00-10T00:00:00Z',
    '2030-01-31T24:00:00Z',
    '2030-01-31T08:60:00Z',
    '2030-01-31T08:00:60Z',
    '2030-01-31T08:00:00',
    '2030-01-31T08:00:00+24:00',
    '2030-01-31',
    '2030-1-31T08:00:00Z',
    'tomorrow',
    '-1',
    '1e12',
    '1.5',
    ' 1',
    '2031-01-03T00:00:00Z',
    '999999999999999',
  ])('refuses %s and names the field', (text) => {
    expect(() => parseDeliverAt(text, NOW)).toThrow(
      expect.objectContaining({ code: 'INVALID_PARAM', message: expect.stringMatching(/^deliverAt: /) }),
    );
  });

  it('reads what JavaScript writes', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date(NOW), noInvalidDate: true }), (date) => {
        expect(parseDeliverAt(date.toISOString(), NOW)).toBe(date.getTime());
        expect(parseDeliverAt(String(date.getTime()), NOW)).toBe(date.getTime());
      }),
    );
  });
});
