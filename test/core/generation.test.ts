import fc from 'fast-check';
import { isUnsettled, raiseGeneration, retryTargets } from '../../src/core/redelivering/generation.js';
import { uuidV7 } from '../../src/core/ids.js';
import type { DeliveryReason, DeliveryState } from '../../src/core/model.js';
import type { RecordedChain, RecordedDelivery } from '../../src/core/ports.js';
import { aListener, anEvent, EditableRegistry } from '../support/redelivering.js';

const NODE = 'N';

/** A chain whose deliveries have these states, written as `state` or `state reason`. */
function chainOf(states: string[], registry = new EditableRegistry()): RecordedChain {
  const event = anEvent();
  const deliveries = states.map((text, index): RecordedDelivery => {
    const [state, reason = null] = text.split(' ') as [DeliveryState, DeliveryReason?];
    const { id } = registry.add(aListener(NODE, event.eventTypeId, { operIndex: index + 1 }));
    return {
      eventId: event.eventId,
      listenerId: id,
      nodeCode: NODE,
      operIndex: index + 1,
      state,
      reason,
      generation: 1,
      attempts: index,
      lastStatus: null,
      lastError: null,
      lastResponse: null,
      lastOutcomeId: null,
      lastStartedAt: null,
      lastDurationMs: null,
      nextAttemptAt: null,
      createdAt: 0,
      updatedAt: 0,
      expectedAt: null,
    };
  });
  return { nodeCode: NODE, event, eventState: 'pending', generation: 4, deliveries };
}

/** Places in the chain that a retry of the delivery at `place` runs. */
function retried(states: string[], place: number): number[] {
  const chain = chainOf(states);
  return retryTargets(chain, chain.deliveries[place]?.listenerId ?? '').map((target) => target.operIndex - 1);
}

describe('what a retry runs', () => {
  it('is the delivery alone when nothing was stopped behind it', () => {
    expect(retried(['succeeded', 'failed exhausted', 'succeeded'], 1)).toEqual([1]);
    expect(retried(['succeeded', 'succeeded'], 0)).toEqual([0]);
  });

  it('includes what was stopped behind it, up to the next one that is exhausted itself', () => {
    const stopped = 'skipped chain-stopped';
    expect(retried(['failed exhausted', stopped, 'skipped listener-disabled', stopped], 0)).toEqual([0, 1, 3]);
    expect(retried(['succeeded', 'failed exhausted', stopped], 0)).toEqual([0]);
    expect(retried(['failed exhausted', 'failed gone', stopped], 0)).toEqual([0, 2]);
  });

  it('is nothing while it is pending or an earlier one is unsettled', () => {
    expect(() => retried(['pending'], 0)).toThrow(/pending/);
    expect(() => retried(['retrying', 'failed exhausted'], 1)).toThrow(/comes before it and is retrying/);
    expect(retried(['retrying', 'pending'], 0)).toEqual([0]);
  });
});

describe('a new generation', () => {
  it('runs the wanted and all unsettled listeners that still exist, in order, and closes the others', () => {
    const state = fc.constantFrom('pending', 'retrying', 'succeeded', 'failed', 'skipped', 'cancelled');
    const member = fc.record({ state, wanted: fc.boolean(), deleted: fc.boolean() });
    fc.assert(
      fc.property(fc.array(member, { minLength: 1, maxLength: 6 }), (members) => {
        const registry = new EditableRegistry();
        const chain = chainOf(
          members.map((one) => one.state),
          registry,
        );
        const wanted = chain.deliveries.filter((_delivery, index) => members[index]?.wanted).reverse();
        chain.deliveries.forEach(({ listenerId }, index) => {
          if (members[index]?.deleted) registry.remove(listenerId);
        });
        const plan = raiseGeneration(chain, { wanted, snapshot: registry.current() });

        const due = chain.deliveries.filter((delivery) => isUnsettled(delivery) || wanted.includes(delivery));
        const exists = ({ listenerId }: RecordedDelivery) => registry.listeners.some(({ id }) => id === listenerId);
        const targets = due.filter(exists).map(({ listenerId }) => listenerId);
        expect(plan.generation).toBe(chain.generation + 1);
        expect(plan.send?.message.chain?.targets ?? []).toEqual(targets);
        const states = new Map(plan.deliveries.map((change) => [change.listenerId, change.state]));
        expect(states.size).toBe(due.length);
        for (const delivery of due) {
          expect(states.get(delivery.listenerId)).toBe(exists(delivery) ? 'pending' : 'cancelled');
        }
      }),
    );
  });

  it('says how often each target was tried before, and carries the present version of the registry', () => {
    const registry = new EditableRegistry();
    const chain = chainOf(['pending', 'failed', 'succeeded'], registry);
    const [first, second, third] = chain.deliveries as [RecordedDelivery, RecordedDelivery, RecordedDelivery];
    registry.edit(first.listenerId, { note: 'raises the version' });
    const { send } = raiseGeneration(chain, { wanted: [second], snapshot: registry.current() });
    expect(send?.message.chain?.attemptsBefore).toEqual({ [second.listenerId]: 1 });
    expect(send?.message.chain?.targets).not.toContain(third.listenerId);
    expect(send?.message.event.registryVersion).toBe(registry.version);
    expect(send?.message.event.userObject).toBe(chain.event.userObject);
  });

  it('takes a listener that went to another node for a deleted one', () => {
    const registry = new EditableRegistry();
    const chain = chainOf(['failed'], registry);
    registry.edit(chain.deliveries[0]?.listenerId ?? '', { nodeCode: 'M' });
    const plan = raiseGeneration(chain, { wanted: chain.deliveries, snapshot: registry.current() });
    expect(plan.send).toBeNull();
    expect(plan.deliveries).toMatchObject([{ state: 'cancelled', reason: 'listener-deleted' }]);
  });

  it('gives a listener that never had a delivery one', () => {
    const registry = new EditableRegistry();
    const chain = chainOf(['succeeded'], registry);
    const { id } = registry.add(aListener(NODE, uuidV7(), { operIndex: 9 }));
    const owed = { listenerId: id, nodeCode: NODE, operIndex: 9 };
    const plan = raiseGeneration(chain, { wanted: [owed], snapshot: registry.current() });
    expect(plan.deliveries).toEqual([{ ...owed, state: 'pending', reason: null, generation: 5 }]);
  });
});
