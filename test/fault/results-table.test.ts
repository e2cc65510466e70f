import { renderResults } from './results-table.js';
import type { ScenarioResult } from './results.js';

function result(fields: Partial<ScenarioResult>): ScenarioResult {
  return {
    name: 'worker-killed',
    group: 'processes',
    promise: 'Nothing is lost.',
    passed: true,
    failures: [],
    figures: {},
    ranAt: '2026-01-02T03:04:05.000Z',
    durationMs: 61_400,
    ...fields,
  };
}

describe('the tables of the reliability page', () => {
  it('give the figures of the ledger a column each and name the others', () => {
    const text = renderResults([result({ figures: { accepted: 5, lost: 0, inFlight: 7, callsWhileAway: 3 } })]);
    expect(text).toContain(
      '| worker-killed | yes | 5 |  |  |  |  | 0 |  | 7 |  |  | callsWhileAway 3 | 2026-01-02, 61 s |',
    );
    expect(text).toContain('- **worker-killed**: Nothing is lost.');
  });

  it('say what did not hold', () => {
    const text = renderResults([result({ passed: false, failures: ['lost = 0', 'a | b'] })]);
    expect(text).toContain('| **no**: lost = 0; a / b |');
  });

  it('put scenarios of one group together, and leave groups without one out', () => {
    const text = renderResults([
      result({ name: 'a', group: 'broker' }),
      result({ name: 'b' }),
      result({ name: 'c', group: 'broker' }),
    ]);
    expect(text.match(/### .*/g)).toEqual(['### Processes of the centre', '### RabbitMQ']);
    expect(text.indexOf('**b**')).toBeLessThan(text.indexOf('**a**'));
    expect(text.indexOf('**a**')).toBeLessThan(text.indexOf('**c**'));
  });
});
