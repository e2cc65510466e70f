import { clockOffsetMs } from '../../src/plugins/lease-call.js';

const DATE = 'Sat, 21 Nov 2026 08:00:00 GMT';
const AT = Date.parse(DATE);

describe('clockOffsetMs', () => {
  it('is none when the clocks agree within what a Date header can tell', () => {
    expect([AT, AT + 500, AT + 999].map((now) => clockOffsetMs(DATE, now))).toEqual([0, 0, 0]);
  });

  it('takes the latest time that the centre can have had, so that no lease is thought longer than it is', () => {
    expect(clockOffsetMs(DATE, AT - 3_600_000)).toBe(3_600_999);
    expect(clockOffsetMs(DATE, AT + 60_000)).toBe(-59_001);
  });

  it('believes its own clock when the answer has no readable Date', () => {
    expect([clockOffsetMs(undefined, AT), clockOffsetMs('yesterday', AT)]).toEqual([0, 0]);
  });
});
