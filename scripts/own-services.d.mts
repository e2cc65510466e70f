/** A service of one's own; its data stays until `remove`. */
export interface OwnService {
  url: string;
  start(): Promise<void>;
  /** Ends it in order. */
  stop(): Promise<void>;
  /** kill -9. */
  kill(): Promise<void>;
  /** Ends it and removes its data. */
  remove(): Promise<void>;
}

export interface OwnBroker extends OwnService {
  /** What its rabbitmqctl prints for these arguments. */
  control(...parameters: string[]): Promise<string>;
  /** What Erlang expressions, ended by a dot, come to in the broker. */
  evaluate(expressions: string): Promise<string>;
}

export function startRabbitMq(options: { answers: (url: string) => Promise<unknown> }): Promise<OwnBroker>;
export function startMariaDb(options: { answers: (url: string) => Promise<unknown> }): Promise<OwnService>;
