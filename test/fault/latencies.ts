import { pairKey, type CallRecord, type SendRecord } from './ledger.js';
import { quantile } from './quantile.js';
import type { RunReport } from './run-report.js';

/** Times from the sending of an event to the first call of listeners, in ms. */
interface Latencies {
  p50: number;
  p99: number;
  count: number;
}

export interface KeptLatency {
  /** Who keeps it, as figures begin and as the requirement says it. */
  name: string;
  who: string;
  isOf: (call: CallRecord) => boolean;
  /** When others fell ill, after a time in which all were well, and when that was over. */
  wellAt: number;
  illAt: number;
  overAt: number;
  /** Beside the ill ones the 99th percentile may be this, or so many times what it was before. */
  mostMs: number;
  mostTimes: number;
}

/** Requires that those who are well keep their latency beside those who are not. */
export function requireKeptLatency(
  report: RunReport,
  records: { sends: SendRecord[]; calls: CallRecord[] },
  kept: KeptLatency,
): void {
  const { name, who, isOf, wellAt, illAt, overAt, mostMs, mostTimes } = kept;
  const before = latenciesOf(records, { from: wellAt, to: illAt, isOf });
  const beside = latenciesOf(records, { from: illAt, to: overAt, isOf });
  report.figure(`${name}P50BeforeMs`, before.p50);
  report.figure(`${name}P50BesideMs`, beside.p50);
  report.figure(`${name}P99BeforeMs`, before.p99);
  report.figure(`${name}P99BesideMs`, beside.p99);
  const bound = Math.max(mostMs, mostTimes * before.p99);
  report.require(`${who} keep their latency`, beside.p99 <= bound, `p99 ${beside.p99} ms, at most ${bound} ms`);
}

/** Of the events that were sent from `from` to `to`, at the listeners that `isOf` names. */
function latenciesOf(
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
