/** What is sent, what arrives, and when: bursts for the rates, a steady stream for the latencies. */
import type { ChildProcess } from 'node:child_process';
import { end, forkBench, nextMessage } from './children.js';
import { nowMs } from './clock.js';
import type { LoadReport, LoadRequest, ReceiverReport, ReceiverRequest } from './protocol.js';

const DRAIN_MS = 120_000;
const STEADY_CALLBACKS_PER_SECOND = 1_000;
const STEADY_SECONDS = 10;
const BYTES = 1024;
const CONNECTIONS = 64;

export interface Figures {
  acceptedPerSecond: number;
  /** Events that every listener received, per second, from the first send to the last arrival. */
  deliveredPerSecond: number | null;
  /** From the answer to the sender until a listener receives it, 0 where the callback was first; 1,000 callbacks/s. */
  p50Ms: number | null;
  p99Ms: number | null;
  /** From sent until received. */
  p99SentMs: number | null;
}

export interface Target {
  /** Several take the events in turn. */
  urls: string[];
  appId: string;
  appKey: string;
  /** Callbacks that one event causes; 0 when nothing is delivered. */
  callbacksPerEvent: number;
  /** Events go to so many types in turn; see `LoadRequest`. */
  eventTypes?: number;
}

export interface Children {
  load: ChildProcess;
  receiver: ChildProcess;
  receiverUrl: string;
}

type Done = Extract<LoadReport, { kind: 'done' }>;

/** What became of a burst whose callbacks have all arrived. */
export interface Burst {
  done: Done;
  /** Event number and when a listener received it first. */
  arrivals: [number, number][];
  lastArrivalAt: number;
}

/** Starts the load generator and the receiver for `work`. */
export async function withChildren<T>(work: (children: Children) => Promise<T>): Promise<T> {
  const receiver = forkBench('receiver.ts');
  const load = forkBench('load.ts');
  try {
    const [receiverUrl] = await Promise.all([
      nextMessage(receiver, (message) => {
        const report = message as ReceiverReport;
        return report.kind === 'ready' ? report.url : null;
      }),
      nextMessage(load, (message) => pickReport<LoadReport>(message, 'ready')),
    ]);
    return await work({ load, receiver, receiverUrl });
  } finally {
    await Promise.all([end(load), end(receiver)]);
  }
}

/** One measurement: a warm-up, a burst for the rates, a steady stream for the latencies. `sent` counts all of them. */
export async function measure(
  children: Children,
  target: Target,
  settings: { events: number },
): Promise<Figures & { sent: number }> {
  const { events } = settings;
  const warmUp = Math.ceil(events / 10);
  await burst(children, target, { events: warmUp });
  const hot = await burst(children, target, { events });
  const { acceptedPerSecond, deliveredPerSecond } = ratesOf(hot, target);
  if (target.callbacksPerEvent === 0) {
    const none = { deliveredPerSecond, p50Ms: null, p99Ms: null, p99SentMs: null };
    return { acceptedPerSecond, ...none, sent: warmUp + events };
  }
  const rate = STEADY_CALLBACKS_PER_SECOND / target.callbacksPerEvent;
  const steadyEvents = Math.ceil(rate * STEADY_SECONDS);
  const steady = await burst(children, target, { events: steadyEvents, rate });
  const sent = warmUp + events + steadyEvents;
  return { acceptedPerSecond, deliveredPerSecond, ...latenciesOf(steady), sent };
}

/** Rates of a burst that was sent as fast as the answers came. */
export function ratesOf(
  { done, lastArrivalAt }: Burst,
  target: Pick<Target, 'callbacksPerEvent'>,
): Pick<Figures, 'acceptedPerSecond' | 'deliveredPerSecond'> {
  return {
    acceptedPerSecond: perSecond(done.accepted, done.startedAt, done.endedAt),
    deliveredPerSecond: target.callbacksPerEvent === 0 ? null : perSecond(done.accepted, done.startedAt, lastArrivalAt),
  };
}

function latenciesOf({ done, arrivals }: Burst): Pick<Figures, 'p50Ms' | 'p99Ms' | 'p99SentMs'> {
  const since = (from: number[]): number[] =>
    arrivals.map(([number, at]) => Math.max(0, at - (from[number] ?? at))).sort((a, b) => a - b);
  const accepted = since(done.acceptedAt);
  return {
    p50Ms: quantile(accepted, 0.5),
    p99Ms: quantile(accepted, 0.99),
    p99SentMs: quantile(since(done.sentAt), 0.99),
  };
}

/** Sends and waits for every callback, unless `awaits` says not to. @throws when an event was refused. */
export async function burst(
  children: Children,
  target: Target,
  settings: { events: number; rate?: number; awaits?: 'callbacks' | 'answers' },
): Promise<Burst> {
  tell(children.receiver, 'reset');
  const { urls, appId, appKey, eventTypes = null } = target;
  const { events, rate = null, awaits = 'callbacks' } = settings;
  const request: LoadRequest = {
    ...{ urls, appId, appKey, eventTypes, events, rate },
    ...{ bytes: BYTES, connections: CONNECTIONS },
  };
  children.load.send(request);
  const done = await nextMessage(children.load, (message) => pickReport<Done>(message, 'done'));
  if (done.refused > 0) throw new Error(`${done.refused} events were refused: ${done.firstRefusal ?? ''}`);
  const expected = awaits === 'answers' ? 0 : events * target.callbacksPerEvent;
  if (expected === 0) return { done, arrivals: [], lastArrivalAt: done.endedAt };
  return { done, ...(await arrivalsOf(children.receiver, expected)) };
}

/** Waits for `expected` different callbacks since the last burst began. @throws when they do not come in time. */
export async function arrivalsOf(
  receiver: ChildProcess,
  expected: number,
): Promise<Pick<Burst, 'arrivals' | 'lastArrivalAt'>> {
  await countOf(receiver, expected);
  const answer = nextMessage(receiver, (message) =>
    pickReport<Extract<ReceiverReport, { kind: 'arrivals' }>>(message, 'arrivals'),
  );
  tell(receiver, 'arrivals');
  const { arrivals } = await answer;
  return { arrivals, lastArrivalAt: arrivals.reduce((latest, [, at]) => Math.max(latest, at), 0) };
}

async function countOf(receiver: ChildProcess, expected: number): Promise<void> {
  const deadline = nowMs() + DRAIN_MS;
  for (;;) {
    const answer = nextMessage(receiver, (message) =>
      pickReport<Extract<ReceiverReport, { kind: 'count' }>>(message, 'count'),
    );
    tell(receiver, 'count');
    const { distinct } = await answer;
    if (distinct >= expected) return;
    if (nowMs() > deadline) throw new Error(`only ${distinct} of ${expected} callbacks arrived in ${DRAIN_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function tell(receiver: ChildProcess, request: ReceiverRequest): void {
  receiver.send(request);
}

function pickReport<T extends { kind: string }>(message: unknown, kind: T['kind']): T | null {
  return typeof message === 'object' && message !== null && (message as T).kind === kind ? (message as T) : null;
}

export function perSecond(events: number, startedAt: number, endedAt: number): number {
  return Math.round(events / ((endedAt - startedAt) / 1000));
}

export function quantile(sorted: number[], share: number): number {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return Math.round(value * 10) / 10;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
