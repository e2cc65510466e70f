import fc from 'fast-check';
import { chainLinks } from '../../src/core/delivering/chain-links.js';
import {
  beginChain,
  firstPosition,
  judgeAnswer,
  nextStep,
  postpone,
  settleLink,
  withClaimedSettled,
  type Chain,
} from '../../src/core/delivering/chain.js';
import type { ChainPosition, DeliveryState, Listener, Node } from '../../src/core/model.js';
import { maxAttempts } from '../../src/core/delivering/retry-schedule.js';
import { aListener, aNode, anEvent, aRevision, aSnapshot } from '../support/registry-fixtures.js';

const DELAYS = { defaultDelaysMs: [10, 20], stepsMs: [10, 20] };

function chainOf(
  listeners: (Listener | null)[],
  over: { node?: Partial<Node>; position?: Partial<ChainPosition> } = {},
): Chain {
  const links = listeners.map((listener, index) => ({
    listenerId: listener?.id ?? `deleted${index}`,
    operIndex: index,
    listener,
  }));
  return beginChain({ ...firstPosition('A'), ...over.position }, links, aNode('A', over.node));
}

describe('the chain of a node', () => {
  it('begins with the lowest operindex and goes on with the next', () => {
    const chain = chainOf([aListener('L1'), aListener('L2')]);
    expect(nextStep(chain)).toMatchObject({ do: 'call', listener: { id: 'L1' }, attempt: 1 });
    expect(nextStep(settleLink(chain, 'L1', 'other'))).toMatchObject({
      do: 'call',
      listener: { id: 'L2' },
      attempt: 1,
    });
    expect(nextStep(settleLink(settleLink(chain, 'L1', 'other'), 'L2', 'other'))).toEqual({ do: 'done' });
  });

  it('closes deleted and disabled listeners and goes on', () => {
    const chain = chainOf([null, aListener('L2', { enabled: false }), aListener('L3')]);
    expect(nextStep(chain)).toMatchObject({
      do: 'settle',
      settlement: { state: 'cancelled', reason: 'listener-deleted' },
      attempt: 0,
    });
    const later = settleLink(chain, 'deleted0', 'other');
    expect(nextStep(later)).toMatchObject({
      do: 'settle',
      settlement: { state: 'skipped', reason: 'listener-disabled' },
    });
    expect(nextStep(settleLink(later, 'L2', 'other'))).toMatchObject({ do: 'call', listener: { id: 'L3' } });
  });

  it.each([
    ['continue', { do: 'call' }],
    ['stop', { do: 'settle', settlement: { state: 'skipped', reason: 'chain-stopped' } }],
  ] as const)('does with the rest after an exhausted listener as the node says: %s', (onExhausted, expected) => {
    const chain = chainOf([aListener('L1'), aListener('L2')], { node: { onExhausted } });
    expect(nextStep(settleLink(chain, 'L1', 'exhausted'))).toMatchObject(expected);
  });

  it('goes on after 410 whatever the node says, and whatever the policy says', () => {
    const listener = aListener('L1', { retry: { strategy: 'loop', maxAttempts: null, delaysMs: null } });
    const chain = chainOf([listener, aListener('L2')], { node: { onExhausted: 'stop' } });
    const verdict = judgeAnswer(
      chain,
      { listener, attempt: 1, answer: { kind: 'refused', status: 410, retryAfterMs: 5 } },
      DELAYS,
    );
    expect(verdict).toEqual({ then: 'settle', state: 'failed', reason: 'gone' });
    expect(nextStep(settleLink(chain, 'L1', 'other'))).toMatchObject({ do: 'call', listener: { id: 'L2' } });
  });

  it('does not take 410 for gone when the answer never ended', () => {
    const listener = aListener('L1');
    const answer = { kind: 'unreachable', status: 410, retryAfterMs: null } as const;
    expect(judgeAnswer(chainOf([listener]), { listener, attempt: 1, answer }, DELAYS)).toMatchObject({ then: 'retry' });
  });

  it('tells the successor who is tried next, what is settled, and a sequence higher by one', () => {
    const listener = aListener('L2');
    const chain = settleLink(
      chainOf([aListener('L1'), listener], { position: { targets: ['L1', 'L2'], sequence: 4 } }),
      'L1',
      'other',
    );
    const verdict = judgeAnswer(
      chain,
      { listener, attempt: 1, answer: { kind: 'refused', status: 500, retryAfterMs: null } },
      DELAYS,
    );
    expect(verdict).toMatchObject({
      then: 'retry',
      delayMs: 10,
      successor: {
        listenerId: 'L2',
        attempt: 2,
        settled: ['L1'],
        sequence: 5,
        targets: ['L1', 'L2'],
        generation: 1,
        dueAt: null,
      },
    });
  });

  it('counts attempts on over generations but begins the schedule anew', () => {
    const listener = aListener('L1');
    const position = { generation: 2, targets: ['L1'], attemptsBefore: { L1: 3 } };
    const chain = chainOf([listener], { position });
    expect(nextStep(chain)).toMatchObject({ do: 'call', attempt: 4 });
    const refused = { kind: 'refused', status: 500, retryAfterMs: null } as const;
    expect(judgeAnswer(chain, { listener, attempt: 4, answer: refused }, DELAYS)).toMatchObject({
      delayMs: 10,
      successor: { attempt: 5 },
    });
    expect(judgeAnswer(chain, { listener, attempt: 5, answer: refused }, DELAYS)).toMatchObject({ delayMs: 20 });
    expect(judgeAnswer(chain, { listener, attempt: 6, answer: refused }, DELAYS)).toMatchObject({
      reason: 'exhausted',
    });
  });

  it('puts an attempt off by its own delay without using it', () => {
    const listener = aListener('L1');
    const chain = chainOf([listener], { position: { listenerId: 'L1', attempt: 2, sequence: 1 } });
    expect(postpone(chain, { listener, attempt: 2 }, DELAYS)).toMatchObject({
      delayMs: 20,
      successor: { attempt: 2, sequence: 2, listenerId: 'L1' },
    });
    const once = aListener('L1', { retry: { strategy: 'none', maxAttempts: null, delaysMs: null } });
    expect(postpone(chainOf([once]), { listener: once, attempt: 1 }, DELAYS)).toMatchObject({
      delayMs: 10,
      successor: { attempt: 1 },
    });
  });

  it('does not take the names of built-in members for listeners', () => {
    const chain = chainOf([aListener('constructor')]);
    expect(nextStep(chain)).toMatchObject({ do: 'call', attempt: 1 });
  });
});

describe('what the store knows of an earlier run of the same message', () => {
  const listeners = [aListener('L1'), aListener('L2')];
  const failed = new Map<string, DeliveryState>([['L1', 'failed']]);

  it('stops the chain when that run exhausted a listener and did not come to stop the rest', () => {
    const chain = withClaimedSettled(chainOf(listeners, { node: { onExhausted: 'stop' } }), failed);
    expect(nextStep(chain)).toMatchObject({
      do: 'settle',
      link: { listenerId: 'L2' },
      settlement: { reason: 'chain-stopped' },
    });
  });

  it('does not stop it when the node says so, or the message itself went on after that failure, or it was 410', () => {
    const continuing = withClaimedSettled(chainOf(listeners), failed);
    const known = withClaimedSettled(
      chainOf(listeners, { node: { onExhausted: 'stop' }, position: { settled: ['L1'] } }),
      failed,
    );
    const gone = [aListener('L1', { enabled: false }), aListener('L2')];
    const after410 = withClaimedSettled(chainOf(gone, { node: { onExhausted: 'stop' } }), failed);
    for (const chain of [continuing, known, after410])
      expect(nextStep(chain)).toMatchObject({ do: 'call', listener: { id: 'L2' } });
  });
});

describe('who is in the chain', () => {
  const first = aListener('L1', { operIndex: 1 });
  const second = aListener('L2', { operIndex: 2 });
  const event = anEvent('E', { registryVersion: 3 });

  it('are those who were owed the event at its version, as they are registered now', () => {
    const snapshot = aSnapshot({
      version: 9,
      listeners: [aListener('L1', { operIndex: 5 }), second, aListener('late')],
      revisions: [
        aRevision(first),
        aRevision(second),
        aRevision(aListener('late'), { fromVersion: 4 }),
        aRevision(aListener('ended'), { toVersion: 8, operIndex: 3 }),
      ],
    });
    expect(
      chainLinks(snapshot, event, { position: firstPosition('A'), kind: 'url' }).map(({ listenerId, listener }) => [
        listenerId,
        listener?.id,
      ]),
    ).toEqual([
      ['L2', 'L2'],
      ['ended', undefined],
      ['L1', 'L1'],
    ]);
  });

  it('are the named ones, even when nobody knows any more that they were owed', () => {
    const snapshot = aSnapshot({ version: 9, listeners: [first, second], revisions: [] });
    const named = { ...firstPosition('A'), targets: ['L2', 'gone'], listenerId: 'L1' };
    expect(chainLinks(snapshot, event, { position: named, kind: 'url' })).toMatchObject([
      { listenerId: 'gone', listener: null },
      { listenerId: 'L1', listener: { id: 'L1' } },
      { listenerId: 'L2', listener: { id: 'L2' } },
    ]);
  });

  it('are without registration when they became plugins or went to another node', () => {
    const listeners = [aListener('L1', { url: null, implClassName: 'x.Y' }), aListener('L2', { nodeCode: 'B' })];
    const snapshot = aSnapshot({ listeners, revisions: [aRevision(first), aRevision(second)] });
    expect(
      chainLinks(snapshot, event, { position: firstPosition('A'), kind: 'url' }).map((link) => link.listener),
    ).toEqual([null, null]);
  });
});

describe('any chain with any answers', () => {
  const listenerPlan = fc.record({
    fate: fc.constantFrom('registered', 'registered', 'registered', 'disabled', 'deleted'),
    strategy: fc.constantFrom('default', 'default', 'none'),
    maxAttempts: fc.option(fc.integer({ min: 1, max: 5 }), { nil: null }),
    answers: fc.array(fc.constantFrom('success', 'refused', 'unreachable', 'gone', 'circuit-open'), { maxLength: 8 }),
  });

  it('is called in ascending order, settles every listener once, and never exceeds the attempts', () => {
    fc.assert(
      fc.property(
        fc.array(listenerPlan, { maxLength: 6 }),
        fc.constantFrom('continue', 'stop'),
        (plans, onExhausted) => {
          const listeners = plans.map((plan, index) =>
            plan.fate === 'deleted'
              ? null
              : aListener(`L${index}`, {
                  operIndex: index,
                  enabled: plan.fate !== 'disabled',
                  retry: { strategy: plan.strategy, maxAttempts: plan.maxAttempts, delaysMs: null },
                }),
          );
          const links = plans.map((_, index) => ({
            listenerId: `L${index}`,
            operIndex: index,
            listener: listeners[index] ?? null,
          }));
          const settled: { listenerId: string; state: DeliveryState; reason: string | null }[] = [];
          const calls: { index: number; attempt: number }[] = [];
          const cursor = plans.map(() => 0);
          let position = firstPosition('A');
          let chain = beginChain(position, links, aNode('A', { onExhausted: onExhausted as 'stop' }));
          for (let steps = 0; steps < 1_000; steps += 1) {
            const step = nextStep(chain);
            if (step.do === 'done') break;
            const { listenerId, operIndex } = step.link;
            if (step.do === 'settle') {
              settled.push({ listenerId, ...step.settlement });
              chain = settleLink(chain, listenerId, 'other');
              continue;
            }
            const scripted = plans[operIndex]!.answers[cursor[operIndex]!++] ?? 'success';
            if (scripted === 'circuit-open') {
              position = postpone(chain, step, DELAYS).successor;
              chain = beginChain(position, links, aNode('A', { onExhausted: onExhausted as 'stop' }));
              continue;
            }
            calls.push({ index: operIndex, attempt: step.attempt });
            const answer = {
              kind: scripted === 'gone' ? ('refused' as const) : (scripted as 'success'),
              status: scripted === 'gone' ? 410 : 500,
              retryAfterMs: null,
            };
            const verdict = judgeAnswer(chain, { ...step, answer }, DELAYS);
            if (verdict.then === 'retry') {
              expect(verdict.successor.sequence).toBe(position.sequence + 1);
              position = verdict.successor;
              chain = beginChain(position, links, aNode('A', { onExhausted: onExhausted as 'stop' }));
            } else {
              settled.push({ listenerId, state: verdict.state, reason: verdict.reason });
              chain = settleLink(chain, listenerId, verdict.reason === 'exhausted' ? 'exhausted' : 'other');
            }
          }
          expect(settled.map(({ listenerId }) => listenerId)).toEqual(links.map(({ listenerId }) => listenerId));
          expect(calls).toEqual([...calls].sort((a, b) => a.index - b.index || a.attempt - b.attempt));
          for (const [index, listener] of listeners.entries()) {
            const mine = calls.filter((call) => call.index === index);
            expect(mine.map(({ attempt }) => attempt)).toEqual(mine.map((_, at) => at + 1));
            if (listener !== null)
              expect(mine.length).toBeLessThanOrEqual(maxAttempts(listener.retry, DELAYS.defaultDelaysMs));
            if (listener?.enabled !== true) expect(mine).toEqual([]);
          }
          const exhaustedAt = settled.findIndex(({ reason }) => reason === 'exhausted');
          if (onExhausted === 'stop' && exhaustedAt !== -1) {
            for (const { state } of settled.slice(exhaustedAt + 1)) expect(['skipped', 'cancelled']).toContain(state);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
