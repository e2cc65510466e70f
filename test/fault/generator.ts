import type { CentreClient } from '../support/centre-client.js';
import type { SendRecord } from './ledger.js';
import type { RecordFile } from './records.js';

/** As whom and of what type events are sent, and where each is noted. */
export interface LoadTarget {
  app: { appId: string; appKey: string };
  sourceId: string;
  eventType: string;
  file: RecordFile<SendRecord>;
}

export interface LoadOptions extends LoadTarget {
  events: number;
  /** The number of the first event, 0 when absent; no two loads of a run may use the same numbers. */
  firstNumber?: number;
  /** More fields of a send, such as `uuid`, by the event's number. */
  fields?: (number: number) => Record<string, string>;
  /** Sends at a time. */
  connections: number;
  /** Events per second; absent sends as fast as the answers come. */
  ratePerSecond?: number;
  /** Where to send; asked before each send, so that a run can go on against a restarted process. */
  client: () => CentreClient;
  /** Ends the run early. */
  until?: () => boolean;
}

/** Load that goes on until it is stopped. */
export interface RunningLoad {
  stop(): Promise<SendRecord[]>;
}

/** More than any run lasts for. */
const ENDLESS = 1_000_000;

/** Begins to send at a steady rate. */
export function startLoad(options: Omit<LoadOptions, 'events' | 'until'> & { ratePerSecond: number }): RunningLoad {
  let over = false;
  const sending = sendLoad({ ...options, events: ENDLESS, until: () => over });
  return {
    stop: () => {
      over = true;
      return sending;
    },
  };
}

/**
 * Sends numbered events and notes in the file what was answered. Never repeats a send: each answer stands for itself.
 * @returns what it noted.
 */
export async function sendLoad(options: LoadOptions): Promise<SendRecord[]> {
  const records: SendRecord[] = [];
  const startedAt = Date.now();
  let next = 0;

  async function sender(): Promise<void> {
    for (let number = next++; number < options.events && options.until?.() !== true; number = next++) {
      if (options.ratePerSecond !== undefined) await waitUntil(startedAt + (number * 1000) / options.ratePerSecond);
      const record = await sendOne(options, (options.firstNumber ?? 0) + number);
      options.file.write(record);
      records.push(record);
    }
  }

  await Promise.all(Array.from({ length: options.connections }, sender));
  return records;
}

async function sendOne(options: LoadOptions, number: number): Promise<SendRecord> {
  const sentAt = Date.now();
  try {
    const answer = await options.client().send(options.app, {
      sourceID: options.sourceId,
      eventType: options.eventType,
      userObject: JSON.stringify({ number }),
      ...options.fields?.(number),
    });
    return {
      number,
      sentAt,
      answeredAt: Date.now(),
      httpStatus: answer.httpStatus,
      accepted: answer.status === 1,
      code: answer.code,
      eventId: answer.eventId,
    };
  } catch (error) {
    await waitUntil(Date.now() + 50);
    const code = error instanceof Error ? error.message : String(error);
    return { number, sentAt, answeredAt: Date.now(), httpStatus: 0, accepted: false, code, eventId: null };
  }
}

function waitUntil(at: number): Promise<void> {
  const ms = at - Date.now();
  return ms <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}
