import { vouchedFor } from '../../src/broker/rabbitmq/vouched-outcomes.js';
import { anOutcome } from '../support/messages.js';

const decoded = (...nodeCodes: string[]) => ({
  ok: true as const,
  message: nodeCodes.map((nodeCode) => anOutcome({ nodeCode })),
});
const trusted = new Set(['centre']);

describe('whose outcomes are taken', () => {
  it('takes every node from a trusted user', () => {
    const outcomes = decoded('A', 'B');
    expect(vouchedFor(outcomes, 'centre', trusted)).toBe(outcomes);
  });

  it('takes the own node from a user of its name', () => {
    const outcomes = decoded('A', 'A');
    expect(vouchedFor(outcomes, 'A', trusted)).toBe(outcomes);
  });

  it('refuses a whole batch in which one outcome is of another node', () => {
    expect(vouchedFor(decoded('A', 'B'), 'A', trusted)).toEqual({
      ok: false,
      reason: 'expected outcomes of the node that the broker user is named like, the broker user A reported for node B',
    });
  });

  it.each([undefined, '', 7, null])('refuses the user_id %p', (userId) => {
    expect(vouchedFor(decoded('A'), userId, trusted)).toEqual({ ok: false, reason: 'expected the property user_id' });
  });

  it('leaves what cannot be read as it is', () => {
    const unreadable = { ok: false as const, reason: 'the body is not JSON' };
    expect(vouchedFor(unreadable, 'centre', trusted)).toBe(unreadable);
  });
});
