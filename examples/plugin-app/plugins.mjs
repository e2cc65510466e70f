/** What the application does with an order, in the order in which the centre has these classes registered. */
import { say } from '../../scripts/checks.mjs';

/** Notes every order, before anybody acts on it. */
export class AuditPlugin {
  constructor(journal) {
    this.journal = journal;
  }

  doAction({ eventId, payload }, { attempt }) {
    this.journal.note(eventId, 'audit');
    say(`  audit    order ${payload.order}, attempt ${attempt}: noted`);
  }
}

/** Writes an invoice; throwing has the centre try again later. */
export class BillingPlugin {
  constructor(journal, invoices) {
    this.journal = journal;
    this.invoices = invoices;
  }

  async doAction({ eventId, payload }, { attempt }) {
    this.journal.note(eventId, 'billing');
    try {
      this.invoices.write(payload.order, attempt);
    } catch (error) {
      say(`  billing  order ${payload.order}, attempt ${attempt}: ${error.message}`);
      throw error;
    }
    say(`  billing  order ${payload.order}, attempt ${attempt}: invoiced`);
  }

  /** After the last attempt: what the attempts have left behind is undone. */
  doBackAction({ eventId, payload }) {
    this.journal.note(eventId, 'billing back');
    this.invoices.cancel(payload.order);
    say(`  billing  order ${payload.order}: given up, the draft is cancelled`);
  }
}

/** Which plugin was called for which event. */
export class Journal {
  #calls = [];

  note(eventId, call) {
    this.#calls.push({ eventId, call });
  }

  of(eventId) {
    return this.#calls
      .filter((one) => one.eventId === eventId)
      .map(({ call }) => call)
      .join(', ');
  }
}

/** Invoices by order; orders 2 and 3 are the trouble of this example. */
export class Invoices {
  written = new Set();
  cancelled = [];

  write(order, attempt) {
    if (order === 2 && attempt <= 2) throw new Error('the printer is out of paper');
    if (order === 3) throw new Error('the customer has no address');
    this.written.add(order);
  }

  cancel(order) {
    this.cancelled.push(order);
  }
}
