import { EventCenterError } from '../../../src/core/errors.js';
import type { Event, Listener, Outcome } from '../../../src/core/model.js';
import type { ListenerAnswer, ListenerCall, ListenerCaller } from '../../../src/core/ports.js';
import type { PluginCall, PluginRunner } from '../plugins/run-plugin.js';

/**
 * Calls plugins for the engine. A failure counts as refused and never as unreachable: no circuit opens, because there is
 * nothing to spare.
 */
export class PluginCaller implements ListenerCaller {
  readonly #runner: PluginRunner;

  constructor(runner: PluginRunner) {
    this.#runner = runner;
  }

  /** Runs that were interrupted look refused here; the engine has given their messages back before, and drops them. */
  async call({ event, listener, attempt }: ListenerCall): Promise<ListenerAnswer> {
    const { success, error, startedAt, durationMs } = await this.#runner.run(pluginCallOf(event, listener, attempt));
    const kind = success ? 'success' : 'refused';
    return { kind, status: null, error, response: null, retryAfterMs: null, startedAt, durationMs };
  }

  /**
   * Calls `doBackAction` after the last failure; gives the error to record.
   * @throws UNAVAILABLE when the host stopped waiting, so that nothing is recorded.
   */
  async compensate(failed: { event: Event; listener: Listener; outcome: Outcome }): Promise<string | null> {
    const { event, listener, outcome } = failed;
    const { attempt, error, startedAt, durationMs } = outcome;
    const result = await this.#runner.compensate(pluginCallOf(event, listener, attempt), {
      success: false,
      error,
      startedAt,
      durationMs,
      interrupted: false,
    });
    if (result.interrupted) throw new EventCenterError('UNAVAILABLE', 'the host stopped waiting for doBackAction');
    return result.error;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function pluginCallOf(event: Event, listener: Listener, attempt: number): PluginCall {
  const { eventId, sourceId, eventType, tenantCode, userObject, senderUuid, traceparent, acceptedAt } = event;
  return {
    event: {
      eventId,
      sourceId,
      eventType,
      tenantCode,
      userObject: userObject === null ? null : userObject.toString('utf8'),
      senderUuid,
      traceparent,
      acceptedAt,
    },
    listenerId: listener.id,
    listenerName: listener.name,
    implClassName: listener.implClassName ?? '',
    attempt,
    timeoutMs: listener.timeoutMs,
  };
}
