import { pairKey, type CallRecord, type SendRecord } from './ledger.js';
import { quantile } from './quantile.js';

/** Times from the sending of an event to the first call of listeners, in ms. */
export interface Latencies {
  p50: number;
  p99: number;
  count: number;
}

/** Of the events that were sent from `from` to `to`, at the listeners that `isOf` names. */
export function latenciesOf(
  records: { sends: SendRecord[]; calls: CallRecord[] },
  which: { from: number; to: number; isOf: (call: CallRecord) => boolean },
): Latencies {
  const sentAt = new Map(
    records.sends
      .filter((send) => send.sentAt >= which.from && send.sentAt < which.to)
      .map((send) => [send.number, send.sentAt]),
  );
  const times = new Map<string, number>();
  for (const call of records.calls) {
    const at = sentAt.get(call.number);
    const key = pairKey(call.number, call);
    if (at !== undefined && which.isOf(call) && !times.has(key)) times.set(key, call.at - at);
  }
  const values = [...times.values()];
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99), count: values.length };
}
