import type { BusinessEvent } from '../business-event.js';

/**
 * What is registered as `implClassName` of a listener: it acts on an event in the application's own process (protocol
 * page, section 5). An event may come more than once, so acting on `eventId` twice must do no harm.
 */
export interface IBusinessEventListener<Payload = unknown> {
  /** Acts on an event. Returning is success; throwing, rejecting or passing the listener's time-out is a failure. */
  doAction(event: BusinessEvent<Payload>, context: PluginContext): Promise<void> | void;
  /**
   * Undoes what earlier attempts may have left, after the last one failed and before the failure is reported; within
   * the same time-out. Once per exhaustion, and again only if the process ends before the report.
   */
  doBackAction?(event: BusinessEvent<Payload>, context: PluginContext): Promise<void> | void;
}

/** What a plugin is told beside the event. */
export interface PluginContext {
  /** Aborted when the listener's time-out is over, and when the host stops waiting for running plugins. */
  readonly signal: AbortSignal;
  /** 1-based number of the attempt at this listener. */
  readonly attempt: number;
  readonly listenerId: string;
  /** Name under which the listener is registered. */
  readonly listenerName: string;
}

/** A class whose constructor takes nothing. */
export type PluginClass = new () => IBusinessEventListener;
/** Makes a plugin, for example with its database. */
export type PluginFactory = () => IBusinessEventListener | Promise<IBusinessEventListener>;
/** A plugin, its class, or what makes it. Of a class or factory one instance is made, when it is needed first. */
export type PluginSource = IBusinessEventListener | PluginClass | PluginFactory;
/** Plugins by their full class name, exactly as it is registered in `implClassName`. */
export type Plugins = Readonly<Record<string, PluginSource>>;
