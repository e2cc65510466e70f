import fc from 'fast-check';
import {
  eventStateOf,
  isAhead,
  mergeOutcome,
  mergeOwed,
  ownAttemptOf,
  type AttemptRow,
  type ChainProgress,
  type DeliveryRecord,
} from '../../src/core/recording/delivery-state.js';
import type { DeliveryState, Event, Outcome, OwedListener } from '../../src/core/model.js';

const event: Event = {
  eventId: '018f0000-0000-7000-8000-000000000001',
  appId: 'A',
  eventTypeId: '018f0000-0000-7000-8000-0000000000aa',
  sourceId: 'S',
  eventType: 'T',
  tenantCode: null,
  userObject: null,
  senderUuid: null,
  traceparent: null,
  acceptedAt: 1_000,
  deliverAt: null,
  registryVersion: 1,
};
const owed: OwedListener = { listenerId: '018f0000-0000-7000-8000-0000000000bb', nodeCode: 'N', operIndex: 3 };

let made = 0;
function outcome(over: Partial<Outcome> & Pick<Outcome, 'state'>): Outcome {
  made += 1;
  const failed = over.state === 'failed' || over.state === 'retrying';
  return {
    outcomeId: `018f0000-0000-7000-9000-${String(made).padStart(12, '0')}`,
    eventId: event.eventId,
    listenerId: owed.listenerId,
    nodeCode: owed.nodeCode,
    operIndex: owed.operIndex,
    generation: 1,
    sequence: 0,
    attempt: 1,
    called: true,
    reason: over.state === 'failed' ? 'exhausted' : null,
    startedAt: 2_000 + made,
    durationMs: 5,
    status: failed ? 500 : 200,
    error: failed ? 'status 500' : null,
    response: failed ? 'oops' : null,
    nextAttemptAt: over.state === 'retrying' ? 9_000 + made : null,
    ...over,
  };
}

interface Recorded {
  delivery: DeliveryRecord | null;
  attempts: Map<string, AttemptRow>;
  failures: Set<string>;
  chain: ChainProgress | null;
}

type Step = { owed: true } | { outcome: Outcome };

function record(steps: Step[]): Recorded {
  const recorded: Recorded = { delivery: null, attempts: new Map(), failures: new Set(), chain: null };
  for (const step of steps) {
    if ('owed' in step) {
      recorded.delivery = mergeOwed(recorded.delivery, owed, event);
      continue;
    }
    const merged = mergeOutcome(recorded.delivery, step.outcome);
    recorded.delivery = merged.delivery;
    for (const row of merged.attemptRows)
      if (!recorded.attempts.has(row.outcomeId)) recorded.attempts.set(row.outcomeId, row);
    if (merged.failureRow !== null) recorded.failures.add(merged.failureRow.id);
    const progress = merged.chainProgress;
    if (progress !== null && (recorded.chain === null || isAhead(progress, recorded.chain))) recorded.chain = progress;
  }
  return recorded;
}

/** What a reader sees: attempts with the one that lives in the delivery. */
function seen(recorded: Recorded): unknown {
  const own = recorded.delivery === null ? null : ownAttemptOf(recorded.delivery);
  const attempts = new Map(recorded.attempts);
  if (own !== null) attempts.set(own.outcomeId, own);
  return {
    delivery: recorded.delivery,
    attempts: [...attempts.values()].sort((a, b) => (a.outcomeId < b.outcomeId ? -1 : 1)),
    failures: [...recorded.failures].sort(),
    chain: recorded.chain,
  };
}

/** What one listener can go through: generations of failing, postponed and repeated attempts, and an end or none. */
const history: fc.Arbitrary<Outcome[]> = fc
  .array(
    fc.record({
      attempts: fc.array(fc.record({ postponed: fc.boolean(), repeated: fc.boolean() }), { maxLength: 4 }),
      end: fc.constantFrom<DeliveryState | 'none'>('succeeded', 'failed', 'skipped', 'cancelled', 'none'),
      endRepeated: fc.boolean(),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((generations) => {
    const outcomes: Outcome[] = [];
    let attempt = 0;
    generations.forEach(({ attempts, end, endRepeated }, index) => {
      const generation = index + 1;
      let sequence = 0;
      for (const { postponed, repeated } of attempts) {
        const at = { generation, sequence };
        if (postponed) {
          outcomes.push(
            outcome({
              ...at,
              state: 'retrying',
              attempt,
              called: false,
              reason: 'circuit-open',
              error: 'circuit open',
              status: null,
              response: null,
            }),
          );
        } else {
          attempt += 1;
          outcomes.push(outcome({ ...at, state: 'retrying', attempt }));
          if (repeated) outcomes.push(outcome({ ...at, state: 'retrying', attempt }));
        }
        sequence += 1;
      }
      if (end === 'none') return;
      const called = end === 'succeeded' || end === 'failed';
      if (called) attempt += 1;
      const last = { generation, sequence, attempt, called, state: end };
      outcomes.push(
        outcome({ ...last, ...(end === 'skipped' ? { reason: 'chain-stopped' as const, status: null } : {}) }),
      );
      if (endRepeated && called) outcomes.push(outcome({ ...last, state: 'succeeded' }));
    });
    return outcomes;
  });

describe('merging outcomes', () => {
  it('comes to the same record, attempts, failures and chain in every order and with every repeat', () => {
    const orders = history.chain((outcomes) => {
      const steps: Step[] = [{ owed: true }, ...outcomes.map((one) => ({ outcome: one }))];
      const repeated = fc.subarray(steps).map((again) => [...steps, ...again]);
      return fc.tuple(
        fc.constant(steps),
        repeated.chain((all) => fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length })),
      );
    });
    fc.assert(
      fc.property(orders, ([inOrder, shuffled]) => {
        expect(seen(record(shuffled))).toEqual(seen(record(inOrder)));
      }),
      { numRuns: 2_000 },
    );
  });

  it('shows every call exactly once among the attempts', () => {
    fc.assert(
      fc.property(history, (outcomes) => {
        const view = seen(record(outcomes.map((one) => ({ outcome: one })))) as { attempts: AttemptRow[] };
        expect(view.attempts.map((row) => [row.outcomeId, row.state, row.attempt, row.generation])).toEqual(
          outcomes
            .filter((one) => one.called)
            .map((one) => [one.outcomeId, one.state, one.attempt, one.generation])
            .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
        );
      }),
    );
  });

  it('keeps a first success in the delivery alone', () => {
    const recorded = record([{ owed: true }, { outcome: outcome({ state: 'succeeded' }) }]);
    expect(recorded.delivery).toMatchObject({
      state: 'succeeded',
      attempts: 1,
      createdAt: 1_000,
      operIndex: 3,
      expectedAt: null,
    });
    expect(recorded.attempts.size).toBe(0);
  });

  it('ignores an older generation but remembers its attempt', () => {
    const late = outcome({ state: 'succeeded', generation: 1, attempt: 2 });
    const recorded = record([
      { outcome: outcome({ state: 'retrying', generation: 2, attempt: 3 }) },
      { outcome: late },
    ]);
    expect(recorded.delivery).toMatchObject({ state: 'retrying', generation: 2, attempts: 3 });
    expect([...recorded.attempts.keys()]).toContain(late.outcomeId);
  });

  it('takes any outcome of a generation that was raised by hand, whatever its sequence', () => {
    const exhausted = record([
      { owed: true },
      { outcome: outcome({ state: 'failed', attempt: 6, sequence: 9 }) },
    ]).delivery;
    const reopened = { ...(exhausted as DeliveryRecord), state: 'pending' as const, reason: null, generation: 2 };
    const skipped = outcome({
      state: 'skipped',
      reason: 'listener-disabled',
      called: false,
      generation: 2,
      attempt: 6,
      sequence: 0,
    });
    expect(mergeOutcome(reopened, skipped).delivery).toMatchObject({ state: 'skipped', generation: 2, attempts: 6 });
  });

  it('gives a first success its own attempt when a later generation takes its place', () => {
    const first = outcome({ state: 'succeeded' });
    const done = record([{ owed: true }, { outcome: first }]).delivery as DeliveryRecord;
    const replayed = { ...done, state: 'pending' as const, generation: 2 };
    const again = mergeOutcome(replayed, outcome({ state: 'succeeded', generation: 2, attempt: 2 }));
    expect(again.attemptRows).toHaveLength(2);
    expect(again.attemptRows[0]).toMatchObject({
      outcomeId: first.outcomeId,
      state: 'succeeded',
      attempt: 1,
      generation: 1,
    });
  });

  it.each([
    ['retrying', 'cancelled'],
    ['failed', 'cancelled'],
    ['skipped', 'cancelled'],
    ['succeeded', 'succeeded'],
  ] as const)('leaves a delivery that an operator cancelled, after a late %s, %s', (late, state) => {
    const pending = mergeOwed(null, owed, event);
    const cancelled: DeliveryRecord = { ...pending, state: 'cancelled', reason: 'cancelled', generation: 2 };
    expect(mergeOutcome(cancelled, outcome({ state: late })).delivery).toMatchObject({ state, generation: 2 });
  });

  it('raises the chain past a message whose successor exists', () => {
    const { chainProgress } = mergeOutcome(null, outcome({ state: 'retrying', generation: 2, sequence: 4 }));
    expect(chainProgress).toEqual({ eventId: event.eventId, nodeCode: 'N', generation: 2, sequence: 5 });
  });
});

describe('the state of an event', () => {
  it.each([
    [[], false, 'no-listener'],
    [[], true, 'scheduled'],
    [['succeeded', 'pending', 'retrying', 'failed'], false, 'pending'],
    [['succeeded', 'retrying', 'failed'], false, 'retrying'],
    [['succeeded', 'failed', 'skipped'], false, 'failed'],
    [['skipped', 'succeeded', 'cancelled'], false, 'succeeded'],
    [['cancelled', 'skipped'], false, 'skipped'],
    [['cancelled'], false, 'skipped'],
  ] as [DeliveryState[], boolean, string][])('of %j (scheduled: %s) is %s', (states, scheduled, expected) => {
    expect(eventStateOf(states, { scheduled })).toBe(expected);
  });
});
