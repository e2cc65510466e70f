import type { DeadMessage } from '../core/ports.js';
import { decodeEvent, MAX_META_BYTES, META_HEADER, type WireMessage } from './message-format.js';

const REASON_HEADER = 'ec-reason';
const QUEUE_HEADER = 'ec-queue';
/** The headers of a message as they were before it was moved, as JSON text. */
const RAW_HEADER = 'ec-raw';

const MAX_REASON_CHARS = 1000;
const MAX_QUEUE_CHARS = 255;
const MAX_RAW_CHARS = 8 * 1024;

/** Why a message is in the dead queue and which queue it came from or was meant for. */
export interface Death {
  reason: string;
  queue: string | null;
}

/**
 * Writes a message for the dead queue: its body and its readable part as they were, the reason beside them. Headers of
 * the broker's own (`x-death`) are not sent on, because a message that carries them can be dropped before RabbitMQ 4.0;
 * they are kept as text.
 */
export function encodeDead({ body, headers }: WireMessage, { reason, queue }: Death): WireMessage {
  const meta = headers[META_HEADER];
  const raw = headers[RAW_HEADER];
  // A larger one is not ours, and headers that do not fit could never be moved.
  const keepsMeta = typeof meta === 'string' && Buffer.byteLength(meta) <= MAX_META_BYTES;
  return {
    body,
    headers: {
      ...(keepsMeta ? { [META_HEADER]: meta } : {}),
      [REASON_HEADER]: reason.slice(0, MAX_REASON_CHARS),
      ...(queue === null ? {} : { [QUEUE_HEADER]: queue.slice(0, MAX_QUEUE_CHARS) }),
      [RAW_HEADER]: (typeof raw === 'string' ? raw : headersAsText(headers)).slice(0, MAX_RAW_CHARS),
    },
  };
}

/**
 * Reads a message of the dead queue. One that the broker put there has no reason of ours: `death` is then what the
 * broker says. Never fails, an unreadable message is what the queue is for.
 */
export function decodeDead({ body, headers }: WireMessage, death: Death): DeadMessage {
  const decoded = decodeEvent({ body, headers });
  const { [REASON_HEADER]: reason, [QUEUE_HEADER]: queue, [RAW_HEADER]: raw } = headers;
  return {
    reason: typeof reason === 'string' ? reason : death.reason,
    queue: typeof queue === 'string' ? queue : death.queue,
    message: decoded.ok ? decoded.message : null,
    raw: body,
    rawHeaders: typeof raw === 'string' ? raw : headersAsText(headers),
  };
}

function headersAsText(headers: Record<string, unknown>): string {
  try {
    return JSON.stringify(headers);
  } catch {
    return '{}';
  }
}
