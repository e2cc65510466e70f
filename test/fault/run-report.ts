import type { Ledger } from './ledger.js';

/** Collects what a scenario requires and whether it held; prints it as it goes. */
export class RunReport {
  readonly #failures: string[] = [];

  constructor(name: string) {
    this.name = name;
    console.log(`\n== ${name}`);
  }

  readonly name: string;

  say(text: string): void {
    console.log(`   ${text}`);
  }

  /** A requirement: printed with what was found, and remembered when it does not hold. */
  require(what: string, holds: boolean, found: unknown): void {
    console.log(
      `   ${holds ? 'ok    ' : 'FAILED'} ${what}: ${typeof found === 'string' ? found : JSON.stringify(found)}`,
    );
    if (!holds) this.#failures.push(what);
  }

  /** The figures of a ledger, and that nothing was lost. */
  requireNothingLost(ledger: Ledger): void {
    this.say(
      `sent ${ledger.sent}, accepted ${ledger.accepted}, refused ${ledger.refused}; owed ${ledger.owed}, delivered ${ledger.delivered}`,
    );
    this.require('lost = 0', ledger.lost.length === 0, ledger.lost.length === 0 ? '0' : ledger.lost.slice(0, 5));
    this.require('calls about events never sent = 0', ledger.strangers === 0, ledger.strangers);
  }

  get passed(): boolean {
    return this.#failures.length === 0;
  }
}
