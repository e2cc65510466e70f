import { closeLedger, type CallRecord, type SendRecord } from './ledger.js';

const LISTENERS = [
  { node: 'A', listener: 'a1', operIndex: 1 },
  { node: 'A', listener: 'a2', operIndex: 2 },
  { node: 'B', listener: 'b1', operIndex: 1 },
];
const owedToAll = () => LISTENERS.map(({ node, listener }) => ({ node, listener }));

function send(number: number, accepted = true): SendRecord {
  return {
    number,
    sentAt: number,
    answeredAt: number,
    httpStatus: accepted ? 200 : 503,
    accepted,
    code: accepted ? 'OK' : 'UNAVAILABLE',
    eventId: null,
  };
}

function call(number: number, listener: string, success = true): CallRecord {
  const known = LISTENERS.find((one) => one.listener === listener);
  if (known === undefined) throw new Error(`no listener ${listener}`);
  return { number, eventId: String(number), ...known, attempt: 1, at: 0, success };
}

const wholeRun = (): CallRecord[] =>
  [1, 2, 3].flatMap((number) => ['a1', 'b1', 'a2'].map((name) => call(number, name)));

describe('the ledger', () => {
  it('closes a run in which every listener got every event once, in order', () => {
    const ledger = closeLedger([send(1), send(2), send(3)], wholeRun(), owedToAll);
    expect(ledger).toMatchObject({ accepted: 3, owed: 9, delivered: 9, lost: [], repeats: [], outOfOrder: [] });
  });

  it('finds a planted loss', () => {
    const calls = wholeRun().filter((one) => !(one.number === 2 && one.listener === 'a2'));
    const ledger = closeLedger([send(1), send(2), send(3)], calls, owedToAll);
    expect(ledger.lost).toEqual([{ number: 2, node: 'A', listener: 'a2' }]);
  });

  it('finds a planted repeat', () => {
    const ledger = closeLedger([send(1), send(2), send(3)], [...wholeRun(), call(3, 'b1')], owedToAll);
    expect(ledger.repeats).toEqual([{ number: 3, node: 'B', listener: 'b1', calls: 1 }]);
  });

  it('finds a listener that was called before an earlier one had succeeded', () => {
    const ledger = closeLedger([send(1)], [call(1, 'a1', false), call(1, 'a2'), call(1, 'a1')], owedToAll);
    expect(ledger.outOfOrder).toEqual([{ number: 1, node: 'A', listener: 'a2' }]);
  });

  it('counts failed calls before the first success neither as repeats nor as lost', () => {
    const ledger = closeLedger(
      [send(1)],
      [call(1, 'a1', false), call(1, 'a1'), call(1, 'a2'), call(1, 'b1')],
      owedToAll,
    );
    expect(ledger).toMatchObject({ delivered: 3, lost: [], repeats: [], outOfOrder: [] });
  });

  it('does not count an event as lost whose send was answered with 503, and counts its calls apart', () => {
    const ledger = closeLedger([send(1, false)], [call(1, 'a1')], owedToAll);
    expect(ledger).toMatchObject({ accepted: 0, refused: 1, owed: 0, lost: [], unknownOutcome: 1, strangers: 0 });
  });

  it('counts calls about events that were never sent', () => {
    expect(closeLedger([], [call(9, 'a1')], owedToAll).strangers).toBe(1);
  });
});
