/**
 * The closing of a run from the sender's and the receivers' own records, without asking the centre:
 * owed = delivered + pending + failed + lost; what came twice is a repeat. Pending and failed are only those of which the
 * scenario says beforehand that they must not be delivered; the rest that is missing is lost.
 */

/** What the sender noted about one event. */
export interface SendRecord {
  /** The event's number; travels in its payload. */
  number: number;
  sentAt: number;
  answeredAt: number;
  /** HTTP status, 0 when no answer came. */
  httpStatus: number;
  /** True when the answer said `status: 1`. */
  accepted: boolean;
  code: string;
  eventId: string | null;
}

/** What a listener noted about one call. */
export interface CallRecord {
  number: number;
  eventId: string;
  node: string;
  listener: string;
  /** The listener's place in its node's order. */
  operIndex: number;
  attempt: number;
  at: number;
  /** Whether the listener answered success. */
  success: boolean;
}

export interface ListenerName {
  node: string;
  listener: string;
}

/** An event, by its number, and a listener. */
export interface Pair extends ListenerName {
  number: number;
}

/** Says of a pair that is not delivered what else must have become of it. */
export type Excuse = (send: SendRecord, name: ListenerName) => 'pending' | 'failed' | null;

export interface Ledger {
  sent: number;
  accepted: number;
  refused: number;
  /** (event, listener) pairs that an accepted event owed. */
  owed: number;
  /** Owed pairs to which a listener answered success at least once. */
  delivered: number;
  /** Owed pairs without a success of which the scenario says that they must still be pending. */
  pending: Pair[];
  /** Owed pairs without a success of which the scenario says that they must be in the failure log. */
  failed: Pair[];
  /** Owed pairs without a success, otherwise. */
  lost: Pair[];
  /** Calls after the first success of the same pair. */
  repeats: (Pair & { calls: number })[];
  /** Calls before an earlier listener of the same event and node had succeeded or failed for good. */
  outOfOrder: Pair[];
  /** Calls about events that the sender does not know as accepted: 503 means unknown, so these are no fault. */
  unknownOutcome: number;
  /** Calls about events that the sender never sent. */
  strangers: number;
}

/**
 * Closes the ledger.
 * @param owedBy who is owed an accepted event.
 * @param excuse what must have become of a pair that is not delivered; null, and it is lost.
 */
export function closeLedger(
  sends: SendRecord[],
  calls: CallRecord[],
  owedBy: (send: SendRecord) => ListenerName[],
  excuse: Excuse = () => null,
): Ledger {
  const sendsByNumber = new Map(sends.map((send) => [send.number, send]));
  const callsByPair = groupBy(calls, (call) => pairKey(call.number, call));
  const accepted = sends.filter((send) => send.accepted);
  const ledger: Ledger = {
    sent: sends.length,
    accepted: accepted.length,
    refused: sends.length - accepted.length,
    owed: 0,
    delivered: 0,
    pending: [],
    failed: [],
    lost: [],
    repeats: [],
    outOfOrder: [],
    unknownOutcome: 0,
    strangers: 0,
  };
  for (const send of accepted) {
    for (const name of owedBy(send)) {
      ledger.owed += 1;
      const successes = (callsByPair.get(pairKey(send.number, name)) ?? []).filter((call) => call.success);
      if (successes.length > 0) ledger.delivered += 1;
      else ledger[excuse(send, name) ?? 'lost'].push({ number: send.number, ...nameOf(name) });
    }
  }
  for (const pair of callsByPair.values()) {
    const first = pair.findIndex((call) => call.success);
    const [call] = pair as [CallRecord];
    if (first !== -1 && first < pair.length - 1) {
      ledger.repeats.push({ ...nameOf(call), number: call.number, calls: pair.length - first - 1 });
    }
  }
  for (const call of calls) {
    const send = sendsByNumber.get(call.number);
    if (send === undefined) ledger.strangers += 1;
    else if (!send.accepted) ledger.unknownOutcome += 1;
  }
  const failed = new Set(ledger.failed.map((pair) => pairKey(pair.number, pair)));
  ledger.outOfOrder = outOfOrder(calls, (call) => failed.has(pairKey(call.number, call)));
  return ledger;
}

/** A listener may be called only after every earlier listener of its event and node has answered success or has failed for good. */
function outOfOrder(calls: CallRecord[], hasFailed: (call: CallRecord) => boolean): Ledger['outOfOrder'] {
  const wrong: Ledger['outOfOrder'] = [];
  for (const chain of groupBy(calls, (call) => `${call.number} ${call.node}`).values()) {
    const succeeded = new Set<number>();
    const places = new Set(chain.filter((call) => !hasFailed(call)).map((call) => call.operIndex));
    for (const call of chain) {
      const missing = [...places].some((place) => place < call.operIndex && !succeeded.has(place));
      if (missing) wrong.push({ ...nameOf(call), number: call.number });
      if (call.success) succeeded.add(call.operIndex);
    }
  }
  return wrong;
}

function nameOf({ node, listener }: ListenerName): ListenerName {
  return { node, listener };
}

/** Names a pair; the same for an equal one. */
export function pairKey(number: number, name: ListenerName): string {
  return `${number} ${name.node} ${name.listener}`;
}

function groupBy<T>(items: T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
