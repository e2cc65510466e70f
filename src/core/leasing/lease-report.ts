import { invalidFields, type FieldError } from '../errors.js';
import type { Clock, Lease, ListenerAnswer, ListenerCaller } from '../ports.js';

/** What came of one listener, as its process says. Times are its own. */
export interface ListenerResult {
  listenerId: string;
  success: boolean;
  /** One sentence; null when it said none. */
  error: string | null;
  startedAt: number | null;
  durationMs: number | null;
}

/** What came of one lease. */
export interface LeaseReport {
  leaseId: string;
  results: ListenerResult[];
}

/**
 * What is wrong with the report of a lease: it may only tell of listeners that were named, and of none behind one
 * of which it does not tell.
 * @param path where the report stands in the call.
 */
export function reportProblems(report: LeaseReport, lease: Lease, path: string): FieldError[] {
  const told = new Set(report.results.map(({ listenerId }) => listenerId));
  const firstUntold = lease.listenerIds.findIndex((listenerId) => !told.has(listenerId));
  return report.results.flatMap(({ listenerId }, index): FieldError[] => {
    const place = lease.listenerIds.indexOf(listenerId);
    const at = `${path}.results[${String(index)}].listenerId`;
    if (place === -1) return [{ path: at, message: 'expected a listener of this lease' }];
    if (firstUntold === -1 || place < firstUntold) return [];
    return [{ path: at, message: 'expected the results of the listeners before it too' }];
  });
}

/** @throws INVALID_PARAM naming every field in `problems`, when there are any. */
export function refuseProblems(problems: FieldError[]): void {
  if (problems.length > 0) throw invalidFields(problems);
}

/** "Calls" listeners by giving what was reported of them. */
export function reportedCaller(report: LeaseReport, lease: Lease, clock: Clock): ListenerCaller {
  const results = new Map(report.results.map((result) => [result.listenerId, result]));
  return {
    call: ({ listener }) => {
      const result = results.get(listener.id);
      if (result === undefined) return Promise.reject(new Error('nothing was reported of the listener'));
      return Promise.resolve(answerOf(result, lease, clock.now()));
    },
    close: () => Promise.resolve(),
  };
}

/** The times of the process are believed as far as they lie between lease and report: its clock may be wrong. */
function answerOf(result: ListenerResult, { leasedAt }: Lease, now: number): ListenerAnswer {
  const { success, error } = result;
  const durationMs = within(result.durationMs ?? 0, 0, Math.max(0, now - leasedAt));
  const latest = now - durationMs;
  return {
    kind: success ? 'success' : 'refused',
    status: null,
    error: success ? null : (error ?? 'the plugin failed and said no reason'),
    response: null,
    retryAfterMs: null,
    startedAt: within(result.startedAt ?? latest, Math.min(leasedAt, latest), latest),
    durationMs,
  };
}

function within(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
