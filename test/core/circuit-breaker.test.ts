import { CircuitBreaker } from '../../src/core/delivering/circuit-breaker.js';
import { ManualClock } from '../support/delivery-fakes.js';

function setUp() {
  const clock = new ManualClock();
  const breaker = new CircuitBreaker({ clock, threshold: 3, probeMs: 5_000 });
  const fail = (times: number) => {
    for (let i = 0; i < times; i += 1) breaker.record('L', 'unreachable');
  };
  return { clock, breaker, fail };
}

describe('the circuit breaker', () => {
  it('opens after the threshold of unreachable answers in a row, for that listener only', () => {
    const { breaker, fail } = setUp();
    fail(2);
    expect(breaker.admits('L')).toBe(true);
    expect(breaker.record('L', 'unreachable')).toBe('opened');
    expect(breaker.isOpen('L')).toBe(true);
    expect(breaker.admits('L')).toBe(false);
    expect(breaker.admits('M')).toBe(true);
    expect(breaker.openCount()).toBe(1);
  });

  it.each(['success', 'refused'] as const)('counts anew after an answer (%s)', (kind) => {
    const { breaker, fail } = setUp();
    fail(2);
    breaker.record('L', kind);
    fail(2);
    expect(breaker.isOpen('L')).toBe(false);
  });

  it('lets one probe through per probe time, and looking does not use it up', () => {
    const { clock, breaker, fail } = setUp();
    fail(3);
    clock.time += 4_999;
    expect(breaker.admits('L')).toBe(false);
    clock.time += 1;
    expect(breaker.refuses('L')).toBe(false);
    expect(breaker.admits('L')).toBe(true);
    expect(breaker.admits('L')).toBe(false);
    expect(breaker.record('L', 'unreachable')).toBe('unchanged');
    expect(breaker.admits('L')).toBe(false);
    clock.time += 5_000;
    expect(breaker.admits('L')).toBe(true);
  });

  it.each(['success', 'refused'] as const)('closes on any complete answer (%s)', (kind) => {
    const { breaker, fail } = setUp();
    fail(3);
    expect(breaker.record('L', kind)).toBe('closed');
    expect(breaker.admits('L')).toBe(true);
    expect(breaker.openCount()).toBe(0);
  });

  it('forgets listeners that are gone', () => {
    const { breaker, fail } = setUp();
    fail(3);
    breaker.retain((listenerId) => listenerId !== 'L');
    expect(breaker.openCount()).toBe(0);
    expect(breaker.isOpen('L')).toBe(false);
  });

  it('opens at the first failure with a threshold of one', () => {
    const breaker = new CircuitBreaker({ clock: new ManualClock(), threshold: 1, probeMs: 10 });
    expect(breaker.record('L', 'unreachable')).toBe('opened');
    expect(breaker.openCount()).toBe(1);
  });
});
