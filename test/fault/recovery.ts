import { pairKey, type CallRecord, type ListenerName, type SendRecord } from './ledger.js';

/** How a run came back after a fault, in ms after the fault was over; from the records alone. */
export interface Recovery {
  /** Until an event was accepted that was sent after the fault; -1 when none was. */
  acceptedAgainMs: number;
  /** Until a listener was called; -1 when none was. */
  calledAgainMs: number;
  /** Until the last event that was sent before the end of the fault was delivered; 0 when all were before. */
  recoveryMs: number;
}

/** @param endedAt when the fault was over: the service answers again, or the new process was started. */
export function recoveryAfter(
  endedAt: number,
  records: { sends: SendRecord[]; calls: CallRecord[]; owedBy: (send: SendRecord) => ListenerName[] },
): Recovery {
  const { sends, calls, owedBy } = records;
  const firstSuccess = new Map<string, number>();
  for (const call of calls) {
    const key = pairKey(call.number, call);
    if (call.success && !firstSuccess.has(key)) firstSuccess.set(key, call.at);
  }
  const accepted = sends.filter((send) => send.accepted);
  const deliveredAt = accepted
    .filter((send) => send.sentAt < endedAt)
    .flatMap((send) => owedBy(send).map((name) => firstSuccess.get(pairKey(send.number, name)) ?? endedAt));
  return {
    acceptedAgainMs: earliest(accepted.filter((send) => send.sentAt >= endedAt).map((send) => send.answeredAt)),
    calledAgainMs: earliest(calls.map((call) => call.at).filter((at) => at >= endedAt)),
    recoveryMs: Math.max(0, deliveredAt.reduce((latest, at) => Math.max(latest, at), endedAt) - endedAt),
  };

  function earliest(times: number[]): number {
    return times.length === 0 ? -1 : times.reduce((first, at) => Math.min(first, at), Infinity) - endedAt;
  }
}
