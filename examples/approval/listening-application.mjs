/** An application that listens: a server whose one handler is the SDK's receiver. */
import { createServer } from 'node:http';
import { createReceiver } from '@event-center/sdk';
import { say } from '../../scripts/checks.mjs';

export class ListeningApplication {
  #server;
  #failOnce;
  /** The events that it has acted on. */
  received = [];
  /** How often it was called with an authentic event, repeats included. */
  calls = 0;

  /**
   * @param application `{ nodeCode, clientKey }` as registered.
   * @param failOnce an event type whose first call fails, as if the application had stumbled.
   */
  constructor({ nodeCode, clientKey }, { failOnce = null } = {}) {
    this.#failOnce = failOnce;
    const receiver = createReceiver({ nodeCode, clientKey }, async (event) => this.#act(nodeCode, event));
    this.#server = createServer(receiver.node);
  }

  /** Starts on a free port. @returns the url to register. */
  listen() {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${this.#server.address().port}/events`));
    });
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Returning is success; what is thrown makes the centre try again. */
  #act(nodeCode, event) {
    this.calls += 1;
    const fails = event.eventType === this.#failOnce;
    const { type, task } = event.payload;
    say(`  [${nodeCode}] ${type.padEnd(18)} ${task.state.padEnd(9)} attempt ${event.attempt}${fails ? '  fails' : ''}`);
    if (fails) {
      this.#failOnce = null;
      throw new Error('the notice could not be delivered');
    }
    this.received.push(event);
  }
}
