import type { SignedCaller } from '../client/signed-call.js';
import type { SignedAnswer } from '../client/read-answer.js';
import { UnavailableError } from '../errors.js';
import type { TransportedEvent } from './run-plugin.js';

/** An event that is this process's until `deadline`. */
export interface LeasedEvent {
  leaseId: string;
  /** When the lease ends by this process's clock, in milliseconds since the epoch; early rather than late. */
  deadline: number;
  event: TransportedEvent;
  onExhausted: 'continue' | 'stop';
  /** To be run one after another as they stand. */
  listeners: LeasedListener[];
}

export interface LeasedListener {
  listenerId: string;
  name: string;
  implClassName: string;
  operIndex: number;
  /** 1-based. */
  attempt: number;
  timeoutMs: number;
  /** Whether its failure exhausts it. */
  lastAttempt: boolean;
}

export interface LeaseRequest {
  max: number;
  waitMs: number;
  /** Null leaves it to the centre: the sum of the time-outs and 30 s. */
  leaseMs: number | null;
  signal: AbortSignal;
}

/** How much longer than `waitMs` an answer may take. */
const ANSWER_MS = 10_000;
/** A `Date` header has no milliseconds. */
const CLOCK_RESOLUTION_MS = 999;

/**
 * Takes up to `max` events, waiting for the first up to `waitMs` (protocol page, section 5).
 * @throws as any signed call.
 */
export async function lease(caller: SignedCaller, request: LeaseRequest): Promise<LeasedEvent[]> {
  const { max, waitMs, leaseMs, signal } = request;
  const fields = {
    max: String(max),
    waitMs: String(waitMs),
    ...(leaseMs === null ? {} : { leaseMs: String(leaseMs) }),
  };
  const answer = await caller.postForm('lease.do', fields, { signal, timeoutMs: waitMs + ANSWER_MS });
  const { deliveries } = answer.data;
  if (!Array.isArray(deliveries)) throw unexpected(answer, 'deliveries');
  const offsetMs = clockOffsetMs(answer.headers['date'], Date.now());
  return deliveries.map((delivery: unknown) => leasedEventIn(answer, delivery, offsetMs));
}

/**
 * What the centre's clock shows more than ours, 0 when they agree within what a `Date` header can tell. The later of
 * the possible times is taken, so that no lease is thought longer than it is.
 */
export function clockOffsetMs(date: string | undefined, now: number): number {
  const from = date === undefined ? Number.NaN : Date.parse(date);
  if (Number.isNaN(from)) return 0;
  const isPossible = now >= from && now <= from + CLOCK_RESOLUTION_MS;
  return isPossible ? 0 : from + CLOCK_RESOLUTION_MS - now;
}

type Delivery = Omit<LeasedEvent, 'deadline'> & { leasedUntil: number };

function leasedEventIn(answer: SignedAnswer, value: unknown, offsetMs: number): LeasedEvent {
  if (!isDelivery(value)) throw unexpected(answer, 'deliveries with leaseId, leasedUntil, event and listeners');
  const { leasedUntil, ...rest } = value;
  return { ...rest, deadline: leasedUntil - offsetMs };
}

function isDelivery(value: unknown): value is Delivery {
  if (typeof value !== 'object' || value === null) return false;
  const { leaseId, leasedUntil, event, listeners } = value as Partial<Record<keyof Delivery, unknown>>;
  return (
    typeof leaseId === 'string' &&
    typeof leasedUntil === 'number' &&
    typeof event === 'object' &&
    event !== null &&
    Array.isArray(listeners)
  );
}

function unexpected({ status }: SignedAnswer, what: string): UnavailableError {
  return new UnavailableError(`expected ${what} in the answer of lease.do, found something else`, {
    status,
    code: 'UNEXPECTED_ANSWER',
  });
}
