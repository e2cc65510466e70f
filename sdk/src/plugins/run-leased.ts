import type { LeasedEvent, LeasedListener } from './lease-call.js';
import type { PluginCall, PluginResult, PluginRunner } from './run-plugin.js';

/** What is reported of one listener; times in milliseconds. */
export interface ListenerResult {
  listenerId: string;
  success: boolean;
  error?: string;
  startedAt: number;
  durationMs: number;
}

/** How far an event was brought: `results` in the order of its listeners; those without one were not run. */
export interface LeasedRun {
  results: ListenerResult[];
  /** The listener that was not begun because its time-out could outlast the lease, null when there was none. */
  tooLong: LeasedListener | null;
}

/** What is left of a lease for reporting. */
const REPORT_MS = 2_000;
/** What a last attempt must leave for `doBackAction`, unless the time-out is shorter. */
const COMPENSATION_MS = 20_000;

/**
 * Runs the listeners of a leased event one after another. A failure ends it, unless it was the listener's last attempt
 * and the node goes on after exhausted ones. Never rejects.
 */
export async function runLeased(leased: LeasedEvent, runner: PluginRunner): Promise<LeasedRun> {
  const results: ListenerResult[] = [];
  for (const listener of leased.listeners) {
    if (!fits(listener, leased.deadline)) return { results, tooLong: listener };
    const result = await runListener(leased, listener, runner);
    if (result.interrupted) break;
    const { success, error, startedAt, durationMs } = result;
    const { listenerId } = listener;
    results.push({ listenerId, success, ...(error === null ? {} : { error }), startedAt, durationMs });
    if (!success && !(listener.lastAttempt && leased.onExhausted === 'continue')) break;
  }
  return { results, tooLong: null };
}

function fits({ timeoutMs, lastAttempt }: LeasedListener, deadline: number): boolean {
  const compensationMs = lastAttempt ? Math.min(timeoutMs, COMPENSATION_MS) : 0;
  return Date.now() + timeoutMs + compensationMs + REPORT_MS <= deadline;
}

async function runListener(leased: LeasedEvent, listener: LeasedListener, runner: PluginRunner): Promise<PluginResult> {
  const { listenerId, name: listenerName, implClassName, attempt, timeoutMs } = listener;
  const call: PluginCall = { event: leased.event, listenerId, listenerName, implClassName, attempt, timeoutMs };
  const result = await runner.run(call);
  if (result.success || result.interrupted || !listener.lastAttempt) return result;
  const leftMs = leased.deadline - REPORT_MS - Date.now();
  return runner.compensate({ ...call, timeoutMs: Math.min(timeoutMs, Math.max(1, leftMs)) }, result);
}
