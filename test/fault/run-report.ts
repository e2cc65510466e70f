import type { Ledger } from './ledger.js';

/** Numbers that a scenario found, by name; units stand in the names. */
export type Figures = Record<string, number>;

/** Collects what a scenario requires and whether it held, and its figures; prints them as it goes. */
export class RunReport {
  readonly name: string;
  readonly figures: Figures = {};
  /** The requirements that did not hold. */
  readonly failures: string[] = [];

  constructor(name: string) {
    this.name = name;
    console.log(`\n== ${name}`);
  }

  say(text: string): void {
    console.log(`   ${text}`);
  }

  /** A requirement: printed with what was found, and remembered when it does not hold. */
  require(what: string, holds: boolean, found: unknown): void {
    console.log(
      `   ${holds ? 'ok    ' : 'FAILED'} ${what}: ${typeof found === 'string' ? found : JSON.stringify(found)}`,
    );
    if (!holds) this.failures.push(what);
  }

  /**
   * A figure for the table: `inFlight` (messages unacknowledged at a kill), `recoveryMs`, or one of the scenario's own
   * with a telling name in camelCase. The ledger's are noted by `requireNothingLost`.
   */
  figure(name: string, value: number): void {
    this.figures[name] = Math.round(value * 1000) / 1000;
    this.say(`${name} ${this.figures[name]}`);
  }

  /** The figures of a ledger, and that nothing was lost. */
  requireNothingLost(ledger: Ledger): void {
    this.say(
      `sent ${ledger.sent}, accepted ${ledger.accepted}, refused ${ledger.refused}; owed ${ledger.owed} = delivered ${ledger.delivered} + pending ${ledger.pending.length} + failed ${ledger.failed.length} + lost ${ledger.lost.length}`,
    );
    Object.assign(this.figures, {
      accepted: ledger.accepted,
      owed: ledger.owed,
      delivered: ledger.delivered,
      pending: ledger.pending.length,
      failed: ledger.failed.length,
      lost: ledger.lost.length,
      repeats: ledger.repeats.reduce((sum, repeat) => sum + repeat.calls, 0),
      outOfOrder: ledger.outOfOrder.length,
    });
    if (ledger.unknownOutcome > 0) this.figures['callsOfUnknownSends'] = ledger.unknownOutcome;
    this.require('lost = 0', ledger.lost.length === 0, ledger.lost.length === 0 ? '0' : ledger.lost.slice(0, 5));
    this.require('calls about events never sent = 0', ledger.strangers === 0, ledger.strangers);
  }

  /** That no listener was called again after its success: where neither a process of the centre nor the broker died. */
  requireNoRepeats(ledger: Ledger): void {
    this.require('repeats = 0', ledger.repeats.length === 0, ledger.repeats.slice(0, 5));
  }

  /** That no more messages were repeated than `bound`, and where the bound comes from. */
  requireRepeatsWithin(ledger: Ledger, bound: number, whence: string): void {
    const messages = new Set(ledger.repeats.map((repeat) => `${repeat.number} ${repeat.node}`)).size;
    const found = `${messages} messages (${this.figures['repeats']} calls) repeated, at most ${bound}`;
    this.require(`messages repeated are no more than ${whence}`, messages <= bound, found);
  }

  get passed(): boolean {
    return this.failures.length === 0;
  }
}
