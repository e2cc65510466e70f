import { payloadOf, type BusinessEvent } from '../business-event.js';
import type { SdkLog } from '../log.js';
import type { IBusinessEventListener, PluginContext } from './plugin.js';
import type { PluginRegistry } from './plugin-registry.js';
import { sentenceOf } from './sentence.js';

/** An event as a transport brings it. `userObject` is the sender's text, null when absent. */
export interface TransportedEvent {
  eventId: string;
  sourceId: string;
  eventType: string;
  tenantCode: string | null;
  userObject: string | null;
  senderUuid: string | null;
  traceparent: string | null;
  acceptedAt: number | null;
}

/** One attempt at one listener. */
export interface PluginCall {
  event: TransportedEvent;
  listenerId: string;
  listenerName: string;
  /** Full class name. */
  implClassName: string;
  /** 1-based. */
  attempt: number;
  timeoutMs: number;
}

/** What came of an attempt; times in milliseconds. */
export interface PluginResult {
  success: boolean;
  /** One sentence without a stack; null for success. */
  error: string | null;
  startedAt: number;
  durationMs: number;
  /** True when the host stopped waiting: no attempt, so that the event goes back without one. `success` is false then. */
  interrupted: boolean;
}

/** Runs plugins, one attempt each; whatever they do becomes a result. */
export class PluginRunner {
  readonly #plugins: PluginRegistry;
  readonly #log: SdkLog;
  readonly #running = new Set<AbortController>();
  #interrupted = false;

  constructor(plugins: PluginRegistry, log: SdkLog) {
    this.#plugins = plugins;
    this.#log = log;
  }

  /** Plugins that run at this moment. */
  get running(): number {
    return this.#running.size;
  }

  /**
   * Calls `doAction`. Never rejects: a class that nobody gave the host, a constructor that throws, a throw, a rejection
   * and a plugin that is not done within `timeoutMs` are failures. After its time-out a plugin that ignores its signal
   * runs on in the background, and what comes of it is logged.
   */
  async run(call: PluginCall): Promise<PluginResult> {
    const startedAt = Date.now();
    const ended = await this.#bounded(call, 'doAction');
    return {
      success: ended.kind === 'returned',
      error: ended.kind === 'returned' ? null : ended.error,
      startedAt,
      durationMs: Date.now() - startedAt,
      interrupted: ended.kind === 'interrupted',
    };
  }

  /**
   * Calls `doBackAction`, if the plugin has one, after the last failed attempt: to be awaited before the failure is
   * reported. Never rejects.
   * @returns what is to be reported: `failed`, with what went wrong here added to its error; `interrupted` when the host
   *   stopped waiting, so that nothing may be reported.
   */
  async compensate(call: PluginCall, failed: PluginResult): Promise<PluginResult> {
    const ended = await this.#bounded(call, 'doBackAction');
    if (ended.kind === 'returned') return failed;
    if (ended.kind === 'interrupted') return { ...failed, interrupted: true };
    // Without an instance there is nothing to undo, and the failure says so already.
    if (ended.kind === 'missing') return failed;
    this.#log.error('plugin.compensation_failed', { ...factsOf(call), error: ended.error });
    return { ...failed, error: `${failed.error ?? 'failed'}; doBackAction: ${ended.error}` };
  }

  /** Aborts the signals of what runs, and ends these runs and all later ones as `interrupted`. */
  interrupt(): void {
    this.#interrupted = true;
    for (const controller of this.#running) controller.abort(new Error('the host stops'));
  }

  async #bounded(call: PluginCall, method: 'doAction' | 'doBackAction'): Promise<Ended> {
    if (this.#interrupted) return INTERRUPTED;
    const controller = new AbortController();
    this.#running.add(controller);
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<Ended>((resolve) => {
      timer = setTimeout(() => {
        resolve({ kind: 'failed', error: `not done within its time-out of ${String(call.timeoutMs)} ms` });
        controller.abort(new Error(`the time-out of ${String(call.timeoutMs)} ms is over`));
      }, call.timeoutMs);
      controller.signal.addEventListener('abort', () => resolve(INTERRUPTED), { once: true });
    });
    const invoked = this.#invoke(call, method, controller.signal);
    try {
      return await Promise.race([invoked, over]);
    } finally {
      clearTimeout(timer);
      this.#running.delete(controller);
      if (controller.signal.aborted) {
        const facts = { ...factsOf(call), method };
        void invoked.then((ended) => this.#log.warn('plugin.ended_late', { ...facts, ended: ended.kind }));
      }
    }
  }

  async #invoke(call: PluginCall, method: 'doAction' | 'doBackAction', signal: AbortSignal): Promise<Ended> {
    let plugin: IBusinessEventListener;
    try {
      plugin = await this.#plugins.instance(call.implClassName);
    } catch (error) {
      return { kind: 'missing', error: sentenceOf(error) };
    }
    const { attempt, listenerId, listenerName } = call;
    const context: PluginContext = { signal, attempt, listenerId, listenerName };
    try {
      await plugin[method]?.(businessEventOf(call), context);
      return { kind: 'returned' };
    } catch (error) {
      return { kind: 'failed', error: sentenceOf(error) };
    }
  }
}

type Ended =
  { kind: 'returned' } | { kind: 'failed' | 'missing'; error: string } | { kind: 'interrupted'; error: string };

const INTERRUPTED: Ended = { kind: 'interrupted', error: 'the host stopped waiting for the plugin' };

function businessEventOf({ event, listenerId, attempt }: PluginCall): BusinessEvent {
  return { ...event, payload: payloadOf(event.userObject), listenerId, attempt };
}

function factsOf({ event, listenerName, implClassName, attempt }: PluginCall): Record<string, unknown> {
  return { eventId: event.eventId, listenerName, implClassName, attempt };
}
