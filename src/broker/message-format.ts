import { z } from 'zod';
import {
  DELIVERY_STATES,
  LATEST_TIME,
  type ChainPosition,
  type DeliveryReason,
  type EventMessage,
  type Outcome,
} from '../core/model.js';

/** What stands on the wire: the body, and headers beside it. */
export interface WireMessage {
  body: Buffer;
  headers: Record<string, unknown>;
}

/** What came of reading a message; `reason` is one sentence without anything of the payload. */
export type Decoded<T> = { ok: true; message: T } | { ok: false; reason: string };

/** The header that carries what the centre knows about a message, as JSON text. */
export const META_HEADER = 'ec';

/** Raised when a field that readers need changes its name or meaning; new optional fields do not raise it. */
const LAYOUT_VERSION = 1;

/** Outcomes of a message; who writes them sends a batch at 200. */
const MOST_OUTCOMES = 10_000;

/** A longer text goes in front of the body: amqplib encodes headers in 64 KiB, and a frame holds 128 KiB. */
export const MAX_META_BYTES = 32 * 1024;

const EMPTY = Buffer.alloc(0);

/** What a column of whole numbers holds. */
const LARGEST_WHOLE = 2 ** 31 - 1;
/** Far beyond what is ever counted, with room for what is counted on in an outcome, and from that in the store. */
export const LARGEST_COUNT = 1_000_000_000;
const LARGEST_COUNT_OF_OUTCOME = 2 * LARGEST_COUNT;

const text = z.string();
const time = z.int().min(0).max(LATEST_TIME);
const whole = z.int().min(-LARGEST_WHOLE).max(LARGEST_WHOLE);
const bytes = z.int().min(0);
const count = bytes.max(LARGEST_COUNT);
const countOfOutcome = bytes.max(LARGEST_COUNT_OF_OUTCOME);

const chainSchema = z.object({
  node: text.min(1),
  gen: count.min(1),
  seq: count,
  targets: z.array(text).optional(),
  settled: z.array(text),
  listener: text.optional(),
  attempt: count.min(1),
  before: z.record(text, count).optional(),
  due: time.optional(),
});

const eventMetaSchema = z.object({
  id: text.min(1),
  app: text,
  type: text.min(1),
  source: text,
  code: text,
  tenant: text.optional(),
  key: text.optional(),
  trace: text.optional(),
  at: time,
  due: time.optional(),
  ver: z.int().min(0),
  /** Tells an absent userObject from an empty one. */
  nobody: z.literal(true).optional(),
  claim: z.literal(true).optional(),
  chain: chainSchema.optional(),
});

const envelopeSchema = z.object({ v: z.literal(LAYOUT_VERSION), metaBytes: bytes.optional() });

const REASONS = [
  'listener-disabled',
  'listener-deleted',
  'chain-stopped',
  'circuit-open',
  'exhausted',
  'gone',
  'cancelled',
  'dead-lettered',
] as const satisfies DeliveryReason[];

const outcomesSchema = z.array(
  z.object({
    outcomeId: text.min(1),
    eventId: text.min(1),
    listenerId: text.min(1),
    nodeCode: text.min(1),
    operIndex: whole,
    generation: countOfOutcome.min(1),
    sequence: countOfOutcome,
    attempt: countOfOutcome,
    called: z.boolean(),
    state: z.enum(DELIVERY_STATES),
    reason: z.enum(REASONS).nullable(),
    startedAt: time,
    durationMs: z.number().min(0).max(LARGEST_WHOLE),
    status: whole.nullable(),
    error: text.nullable(),
    response: text.nullable(),
    nextAttemptAt: time.nullable(),
  }),
) satisfies z.ZodType<Outcome[]>;

/** Writes an event message. The bytes of `userObject` are the body, unchanged and not copied. */
export function encodeEvent({ event, chain, claimSteps }: EventMessage): WireMessage {
  const meta = JSON.stringify({
    v: LAYOUT_VERSION,
    id: event.eventId,
    app: event.appId,
    type: event.eventTypeId,
    source: event.sourceId,
    code: event.eventType,
    tenant: event.tenantCode ?? undefined,
    key: event.senderUuid ?? undefined,
    trace: event.traceparent ?? undefined,
    at: event.acceptedAt,
    due: event.deliverAt ?? undefined,
    ver: event.registryVersion,
    nobody: event.userObject === null ? true : undefined,
    claim: claimSteps ? true : undefined,
    chain: chain === null ? undefined : chainMeta(chain),
  });
  const body = event.userObject ?? EMPTY;
  // A character takes at most three bytes, so most are known to fit without counting.
  if (meta.length * 3 <= MAX_META_BYTES || Buffer.byteLength(meta) <= MAX_META_BYTES) {
    return { body, headers: { [META_HEADER]: meta } };
  }
  const front = Buffer.from(meta);
  const envelope = JSON.stringify({ v: LAYOUT_VERSION, metaBytes: front.length });
  return { body: Buffer.concat([front, body]), headers: { [META_HEADER]: envelope } };
}

function chainMeta(chain: ChainPosition): object {
  return {
    node: chain.nodeCode,
    gen: chain.generation,
    seq: chain.sequence,
    targets: chain.targets ?? undefined,
    settled: chain.settled,
    listener: chain.listenerId ?? undefined,
    attempt: chain.attempt,
    before: Object.keys(chain.attemptsBefore).length === 0 ? undefined : chain.attemptsBefore,
    due: chain.dueAt ?? undefined,
  };
}

/** Reads an event message, whoever wrote it. Never throws. */
export function decodeEvent({ body, headers }: WireMessage): Decoded<EventMessage> {
  const opened = openMeta({ body, headers });
  if (!opened.ok) return opened;
  const { meta, rest } = opened.message;
  const parsed = eventMetaSchema.safeParse(meta);
  if (!parsed.success) return unreadable(META_HEADER, parsed.error);
  const { chain, ...event } = parsed.data;
  if (event.nobody === true && rest.length > 0) return { ok: false, reason: 'expected no body beside "nobody"' };
  return {
    ok: true,
    message: {
      event: {
        eventId: event.id,
        appId: event.app,
        eventTypeId: event.type,
        sourceId: event.source,
        eventType: event.code,
        tenantCode: event.tenant ?? null,
        userObject: event.nobody === true ? null : rest,
        senderUuid: event.key ?? null,
        traceparent: event.trace ?? null,
        acceptedAt: event.at,
        deliverAt: event.due ?? null,
        registryVersion: event.ver,
      },
      chain: chain === undefined ? null : chainOf(chain),
      claimSteps: event.claim === true,
    },
  };
}

function chainOf(chain: z.infer<typeof chainSchema>): ChainPosition {
  return {
    nodeCode: chain.node,
    generation: chain.gen,
    sequence: chain.seq,
    targets: chain.targets ?? null,
    settled: chain.settled,
    listenerId: chain.listener ?? null,
    attempt: chain.attempt,
    attemptsBefore: chain.before ?? {},
    dueAt: chain.due ?? null,
  };
}

/** Writes a batch of outcomes: a JSON array as the body. */
export function encodeOutcomes(outcomes: Outcome[]): WireMessage {
  return {
    body: Buffer.from(JSON.stringify(outcomes)),
    headers: { [META_HEADER]: JSON.stringify({ v: LAYOUT_VERSION }) },
  };
}

/** Reads a batch of outcomes, whoever wrote it. Never throws. */
export function decodeOutcomes(wire: WireMessage): Decoded<Outcome[]> {
  const opened = openMeta(wire);
  if (!opened.ok) return opened;
  const json = parseJson(opened.message.rest.toString('utf8'));
  if (json === undefined) return { ok: false, reason: 'the body is not JSON, expected an array of outcomes' };
  if (Array.isArray(json) && json.length > MOST_OUTCOMES) {
    return { ok: false, reason: `expected at most ${MOST_OUTCOMES} outcomes, found ${json.length}` };
  }
  const parsed = outcomesSchema.safeParse(json);
  return parsed.success ? { ok: true, message: parsed.data } : unreadable('body', parsed.error);
}

/** Reads the header and checks its layout version; `rest` is the body without a meta text in front of it. */
function openMeta({ body, headers }: WireMessage): Decoded<{ meta: unknown; rest: Buffer }> {
  const header = headers[META_HEADER];
  if (typeof header !== 'string') return { ok: false, reason: `expected a text header "${META_HEADER}"` };
  const meta = parseJson(header);
  const envelope = envelopeSchema.safeParse(meta);
  if (!envelope.success) return unreadable(META_HEADER, envelope.error);
  const { metaBytes } = envelope.data;
  if (metaBytes === undefined) return { ok: true, message: { meta, rest: body } };
  if (metaBytes > body.length) {
    return { ok: false, reason: `expected ${metaBytes} bytes of meta data in the body, found ${body.length}` };
  }
  const front = parseJson(body.toString('utf8', 0, metaBytes));
  return { ok: true, message: { meta: front, rest: body.subarray(metaBytes) } };
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
}

/** The first rule that is broken, with its path; zod's messages name expectations, never values. */
function unreadable(where: string, error: z.ZodError): { ok: false; reason: string } {
  const issue = error.issues[0];
  const path = issue === undefined ? where : [where, ...issue.path].join('.');
  return { ok: false, reason: `${path}: ${issue?.message ?? 'cannot be read'}` };
}
