import { CallGate } from '../../src/core/delivering/call-gate.js';
import { ManualClock } from '../support/delivery-fakes.js';
import { until } from '../support/until.js';

const unlimited = { ratePerSecond: null };

describe('the gate of a node', () => {
  it('lets in as many as its concurrency, the others in their order', async () => {
    const gate = new CallGate(new ManualClock(), { concurrency: 2, ...unlimited });
    const entered: number[] = [];
    const enter = async (number: number) => {
      if (await gate.enter(Infinity)) entered.push(number);
    };
    const all = [1, 2, 3, 4].map(enter);
    await Promise.all(all.slice(0, 2));
    expect(entered).toEqual([1, 2]);
    expect(gate.waiting).toBe(2);
    gate.leave();
    await all[2];
    expect(entered).toEqual([1, 2, 3]);
    gate.setLimits({ concurrency: 3, ...unlimited });
    await all[3];
    expect(entered).toEqual([1, 2, 3, 4]);
    expect(gate.inside).toBe(3);
  });

  it('sends away who has waited until their time, and only them', async () => {
    const clock = new ManualClock();
    const gate = new CallGate(clock, { concurrency: 1, ...unlimited });
    expect(gate.enter(Infinity)).toBe(true);
    const brief = gate.enter(clock.time + 10);
    const patient = gate.enter(clock.time + 1_000);
    clock.time += 11;
    gate.expire();
    expect(await brief).toBe(false);
    gate.leave();
    expect(await patient).toBe(true);
  });

  it('lets nobody in whose time is over when a place becomes free', async () => {
    const clock = new ManualClock();
    const gate = new CallGate(clock, { concurrency: 1, ...unlimited });
    expect(gate.enter(clock.now())).toBe(true);
    const late = gate.enter(clock.now() + 10);
    const patient = gate.enter(clock.now() + 1_000);
    clock.time += 11;
    gate.leave();
    expect([await late, await patient, gate.inside, gate.waiting]).toEqual([false, true, 1, 0]);
  });

  it('lets a burst of a second in and then keeps the rate', async () => {
    const gate = new CallGate(Date, { concurrency: 100, ratePerSecond: 10 });
    let entered = 0;
    const began = Date.now();
    const all = Array.from({ length: 14 }, async () => {
      await gate.enter(Infinity);
      entered += 1;
      gate.leave();
    });
    await until('the burst is in', () => entered === 10, 1_000);
    expect(Date.now() - began).toBeLessThan(90);
    await Promise.all(all);
    expect(Date.now() - began).toBeGreaterThanOrEqual(390);
    gate.close();
  });

  it('lets go on at once when the rate is lifted', async () => {
    const gate = new CallGate(new ManualClock(), { concurrency: 100, ratePerSecond: 1 });
    expect(gate.enter(Infinity)).toBe(true);
    const waiting = gate.enter(Infinity);
    gate.setLimits({ concurrency: 100, ratePerSecond: null });
    expect(await waiting).toBe(true);
    gate.close();
  });

  it('sends all away when it closes, and lets nobody in any more', async () => {
    const gate = new CallGate(new ManualClock(), { concurrency: 1, ...unlimited });
    expect(gate.enter(Infinity)).toBe(true);
    const waiting = gate.enter(Infinity);
    gate.close();
    expect(await waiting).toBe(false);
    gate.leave();
    expect(gate.enter(Infinity)).toBe(false);
  });
});
