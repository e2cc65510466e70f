/** One measurement: a burst for the rates, then a steady stream for the latencies. */
import type { ChildProcess } from 'node:child_process';
import { nextMessage } from './children.js';
import { nowMs } from './clock.js';
import type { LoadReport, LoadRequest, ReceiverReport, ReceiverRequest } from './protocol.js';

const DRAIN_MS = 120_000;
const STEADY_RATE = 500;
const STEADY_EVENTS = 3_000;

export interface Figures {
  acceptedPerSecond: number;
  /** Events that every listener received, per second, from the first send to the last arrival. */
  deliveredPerSecond: number | null;
  /** From sent to received by the listener, at 500 events/s. */
  p50Ms: number | null;
  p99Ms: number | null;
}

export interface Target {
  url: string;
  appId: string;
  appKey: string;
  /** Callbacks that one event causes; 0 when nothing is delivered. */
  callbacksPerEvent: number;
}

type Done = Extract<LoadReport, { kind: 'done' }>;

export async function measure(
  children: { load: ChildProcess; receiver: ChildProcess },
  target: Target,
  settings: { events: number; bytes: number; connections: number },
): Promise<Figures & { sent: number }> {
  const warmUp = Math.ceil(settings.events / 10);
  await burst(children, target, { ...settings, events: warmUp });
  const hot = await burst(children, target, settings);
  const acceptedPerSecond = perSecond(settings.events, hot.done.startedAt, hot.done.endedAt);
  if (target.callbacksPerEvent === 0) {
    return { acceptedPerSecond, deliveredPerSecond: null, p50Ms: null, p99Ms: null, sent: warmUp + settings.events };
  }
  const deliveredPerSecond = perSecond(settings.events, hot.done.startedAt, hot.lastArrivalAt);
  const steady = await burst(children, target, { ...settings, events: STEADY_EVENTS, rate: STEADY_RATE });
  const latencies = steady.arrivals
    .map(([number, at]) => at - (steady.done.sentAt[number] as number))
    .sort((a, b) => a - b);
  const sent = warmUp + settings.events + STEADY_EVENTS;
  return {
    acceptedPerSecond,
    deliveredPerSecond,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    sent,
  };
}

async function burst(
  children: { load: ChildProcess; receiver: ChildProcess },
  target: Target,
  settings: { events: number; bytes: number; connections: number; rate?: number },
): Promise<{ done: Done; arrivals: [number, number][]; lastArrivalAt: number }> {
  tell(children.receiver, 'reset');
  const request: LoadRequest = { url: target.url, appId: target.appId, appKey: target.appKey, rate: null, ...settings };
  children.load.send(request);
  const done = await nextMessage(children.load, (message) => pickReport<Done>(message, 'done'));
  if (done.refused > 0) throw new Error(`${done.refused} events were refused: ${done.firstRefusal ?? ''}`);
  const expected = settings.events * target.callbacksPerEvent;
  await arrivalOf(children.receiver, expected);
  if (expected === 0) return { done, arrivals: [], lastArrivalAt: done.endedAt };
  const answer = nextMessage(children.receiver, (message) =>
    pickReport<Extract<ReceiverReport, { kind: 'arrivals' }>>(message, 'arrivals'),
  );
  tell(children.receiver, 'arrivals');
  const { arrivals } = await answer;
  return { done, arrivals, lastArrivalAt: arrivals.reduce((latest, [, at]) => Math.max(latest, at), 0) };
}

async function arrivalOf(receiver: ChildProcess, expected: number): Promise<void> {
  const deadline = nowMs() + DRAIN_MS;
  for (;;) {
    const answer = nextMessage(receiver, (message) =>
      pickReport<Extract<ReceiverReport, { kind: 'count' }>>(message, 'count'),
    );
    tell(receiver, 'count');
    const { distinct } = await answer;
    if (distinct >= expected) return;
    if (nowMs() > deadline) throw new Error(`only ${distinct} of ${expected} callbacks arrived in ${DRAIN_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function tell(receiver: ChildProcess, request: ReceiverRequest): void {
  receiver.send(request);
}

function pickReport<T extends { kind: string }>(message: unknown, kind: T['kind']): T | null {
  return typeof message === 'object' && message !== null && (message as T).kind === kind ? (message as T) : null;
}

function perSecond(events: number, startedAt: number, endedAt: number): number {
  return Math.round(events / ((endedAt - startedAt) / 1000));
}

function quantile(sorted: number[], share: number): number {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return Math.round(value * 10) / 10;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
