import fc from 'fast-check';
import { ByteBudget } from '../../src/core/delivering/byte-budget.js';

describe('the budget of bytes in hand', () => {
  it('pauses the one that holds the most, not the others', () => {
    const budget = new ByteBudget<string>(100);
    expect(budget.take('small', 10)).toEqual([]);
    expect(budget.take('large', 90)).toEqual([]);
    expect(budget.take('small', 10)).toEqual(['large']);
    expect(budget.take('small', 10)).toEqual([]);
  });

  it('lets it go on when it is calm again, or holds little itself', () => {
    const budget = new ByteBudget<string>(100);
    budget.take('large', 60);
    budget.take('large', 60);
    expect(budget.give('large', 60)).toEqual([]);
    expect(budget.give('large', 60)).toEqual(['large']);
  });

  it('keeps the total within twice the bound, and ends with everything given back and nobody paused', () => {
    const step = fc.record({ holder: fc.nat({ max: 4 }), bytes: fc.integer({ min: 1, max: 10 }), take: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const budget = new ByteBudget<number>(100);
        const paused = new Set<number>();
        const inHand: { holder: number; bytes: number }[] = [];
        const give = (index: number) => {
          const [message] = inHand.splice(index, 1);
          for (const holder of budget.give(message!.holder, message!.bytes)) expect(paused.delete(holder)).toBe(true);
        };
        for (const { holder, bytes, take } of steps) {
          if (take && !paused.has(holder)) {
            inHand.push({ holder, bytes });
            for (const pausing of budget.take(holder, bytes)) paused.add(pausing);
          } else if (inHand.length > 0) {
            give((holder * 7) % inHand.length);
          }
          expect(budget.total).toBe(inHand.reduce((sum, message) => sum + message.bytes, 0));
          expect(budget.total).toBeLessThanOrEqual(210);
        }
        while (inHand.length > 0) give(0);
        expect(budget.total).toBe(0);
        expect(paused.size).toBe(0);
      }),
    );
  });
});
