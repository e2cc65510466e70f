import type { Outcome } from '../../src/core/model.js';
import { OutcomeBatches } from '../../src/core/delivering/outcome-batches.js';

function anOutcome(outcomeId: string, response: string | null = null): Outcome {
  return { outcomeId, response, error: null } as Outcome;
}

function setUp(over: Partial<ConstructorParameters<typeof OutcomeBatches>[0]> = {}) {
  const published: { ids: string[]; giveUpAt: number; confirm: () => void; refuse: (error: Error) => void }[] = [];
  const batches = new OutcomeBatches({
    publish: (outcomes, giveUpAt) =>
      new Promise((confirm, refuse) =>
        published.push({ ids: outcomes.map(({ outcomeId }) => outcomeId), giveUpAt, confirm, refuse }),
      ),
    lingerMs: 5,
    maxOutcomes: 3,
    maxCharacters: 100,
    ...over,
  });
  return { batches, published };
}

describe('outcomes', () => {
  it('go together, and each caller learns when its own batch is safe', async () => {
    const { batches, published } = setUp();
    const settled: string[] = [];
    const add = (id: string) => batches.add(anOutcome(id), 9).then(() => settled.push(id));
    const all = ['a', 'b', 'c', 'd'].map(add);
    expect(published.map(({ ids }) => ids)).toEqual([['a', 'b', 'c']]);
    const flushed = batches.flush();
    expect(published.map(({ ids }) => ids)).toEqual([['a', 'b', 'c'], ['d']]);
    published[1]!.confirm();
    await all[3];
    expect(settled).toEqual(['d']);
    published[0]!.confirm();
    await flushed;
    await Promise.all(all);
    expect(settled).toEqual(['d', 'a', 'b', 'c']);
  });

  it('do not wait for others for long', async () => {
    const { batches, published } = setUp();
    const added = batches.add(anOutcome('a'), 9);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(published).toHaveLength(1);
    published[0]!.confirm();
    await added;
  });

  it('with long answers make smaller batches', async () => {
    const { batches, published } = setUp();
    const added = [batches.add(anOutcome('a', 'x'.repeat(100)), 9), batches.add(anOutcome('b', 'x'.repeat(100)), 9)];
    expect(published.map(({ ids }) => ids)).toEqual([['a'], ['b']]);
    for (const { confirm } of published) confirm();
    await Promise.all(added);
  });

  it('are given up together at the earliest time of one of them, and their callers told', async () => {
    const { batches, published } = setUp();
    const added = [batches.add(anOutcome('a'), 9), batches.add(anOutcome('b'), 5)];
    void batches.flush();
    expect(published[0]!.giveUpAt).toBe(5);
    published[0]!.refuse(new Error('away'));
    for (const result of await Promise.allSettled(added)) expect(result.status).toBe('rejected');
  });
});
