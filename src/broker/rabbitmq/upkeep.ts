import type { ConfirmChannel } from 'amqplib';
import type { EnsureOptions, Log, Metrics, NodeQueue, Topology } from '../../core/ports.js';
import type { Names } from '../names.js';
import type { Session } from './link.js';
import type { RpcChannels } from './rpc-channels.js';

/**
 * What a process does for the queues and exchanges that it uses, beside using them. A process of the centre declares and
 * mends them; an application's may do neither.
 */
export interface Upkeep {
  /** A new connection is there: declares what must be. `created` when an own queue of the centre was not there before. */
  attach(channels: RpcChannels): Promise<{ created: boolean }>;
  /** Sets up what lives as long as the connection. */
  listen(session: Session): Promise<void>;
  /** The connection is lost. */
  detach(): void;
  stop(): Promise<void>;
  /** Declares everything again, because something was found missing. */
  repair(): Promise<{ created: boolean }>;

  /** As the port says. */
  ensure(topology: Topology, options: EnsureOptions): Promise<void>;
  /** As the port says. */
  unbind(queue: NodeQueue, eventTypeId: string): Promise<void>;
  /** As the port says. */
  deleteNodeQueue(queue: NodeQueue): Promise<boolean>;

  /** A delay step is about to be published to. */
  ensureDelay(delayMs: number): Promise<void>;
  /** A node queue is going to be consumed. */
  remember(queue: NodeQueue): void;
  /** A queue is about to be consumed. @throws UNAVAILABLE when it is known that it cannot be. */
  ensureForConsumer(queue: string): Promise<void>;
  /** A queue may be gone. */
  doubt(queue: string): void;

  /** A queue may confirm nothing any more. */
  suspectQueue(queue: string): void;
  /** The same of those that take events of a type. */
  suspectQueuesOf(eventTypeId: string): void;
  /** Queues that cannot be used at present, although the broker is well. */
  unusable(): string[];
}

/** What upkeep works with. */
export interface UpkeepContext {
  names: Names;
  log: Log;
  metrics: Metrics | null;
  rpcTimeoutMs: number;
  /** Whether both connections are set up and not blocked. */
  connected: () => boolean;
  /** Runs `work` on a connection of its own, which is cut afterwards. */
  apart: (what: string, work: (channel: ConfirmChannel) => Promise<unknown>) => Promise<void>;
  /** Node queues were declared: consumers that wait for one can go on. */
  onDeclared: () => void;
  /** The registry has a new version. Must not throw. */
  onVersion: (version: number) => void;
}
