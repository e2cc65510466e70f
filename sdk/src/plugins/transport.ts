import type { SignedCaller } from '../client/signed-call.js';
import type { SdkLog } from '../log.js';
import type { RegistrationsView } from './registrations.js';
import type { PluginRunner } from './run-plugin.js';

/** Brings a node's events to the plugins and what came of them to the centre. */
export interface PluginTransport {
  /**
   * Begins to take events, and resolves once it does; while the centre or the broker is away it goes on trying in the
   * background and says so in `status`. Called once, after the registrations were read.
   */
  start(host: TransportHost): Promise<void>;
  /**
   * Takes nothing more, lets what runs end within `graceMs` (then `runner.interrupt()`), reports what is done, gives
   * the rest back without an attempt, and resolves. Never rejects.
   */
  stop(graceMs: number): Promise<void>;
  status(): TransportStatus;
}

export interface TransportStatus {
  connected: boolean;
  /** One sentence while something keeps events from coming or going; null else. */
  problem: string | null;
  /** Events that this process holds. */
  inHand: number;
  /** Events whose outcome could not be reported in time, since the start: others run them again. */
  lostLeases?: number;
}

/** What a transport works with. */
export interface TransportHost {
  nodeCode: string;
  /** Signs as the node. */
  caller: SignedCaller;
  runner: PluginRunner;
  registrations: RegistrationsView;
  /** Most events at a time. */
  concurrency: number;
  log: SdkLog;
}
