import { registrationsIn } from '../client/registrations.js';
import { SignedCaller } from '../client/signed-call.js';
import type { SignedCallerOptions } from '../client/signed-call.js';
import { RefusedError, UnavailableError } from '../errors.js';
import type { DescribedEventType } from './events-file.js';

/** Whose event types are read: the application's own, or with a token all. */
export type EventTypesSource =
  { by: 'application'; caller: SignedCallerOptions } | { by: 'token'; baseUrl: string; token: string };

const PAGE_SIZE = 500;
const TIMEOUT_MS = 30_000;

/** @throws RefusedError, UnavailableError, InvalidOptionError */
export async function readEventTypes(source: EventTypesSource): Promise<DescribedEventType[]> {
  return source.by === 'token' ? allEventTypes(source) : ownEventTypes(source.caller);
}

async function ownEventTypes(options: SignedCallerOptions): Promise<DescribedEventType[]> {
  const caller = new SignedCaller(options);
  try {
    const answer = await caller.get('eventinfo/index.do', { nodeCode: options.appId });
    return described(registrationsIn(answer).eventTypes, answer.status);
  } finally {
    caller.close();
  }
}

async function allEventTypes({ baseUrl, token }: { baseUrl: string; token: string }): Promise<DescribedEventType[]> {
  const types: DescribedEventType[] = [];
  let cursor: string | null = null;
  do {
    const from: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const url = `${baseUrl.replace(/\/$/, '')}/api/v1/event-types?limit=${PAGE_SIZE}${from}`;
    const { status, page } = await pageAt(url, token);
    types.push(...described(page['items'], status));
    const next = page['nextCursor'];
    cursor = typeof next === 'string' && next !== cursor ? next : null;
  } while (cursor !== null);
  return types;
}

async function pageAt(url: string, token: string): Promise<{ status: number; page: Record<string, unknown> }> {
  const headers = { authorization: `Bearer ${token}`, accept: 'application/json' };
  const response = await fetch(url, { headers, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(
    (error: unknown) => {
      const { cause, message } = error as { cause?: { message?: string; code?: string }; message: string };
      throw new UnavailableError(cause?.message || (cause?.code ?? message), { status: null, cause: error });
    },
  );
  const { status } = response;
  const body = (await response.json().catch(() => null)) as Record<string, unknown> | null;
  if (status >= 500) throw new UnavailableError(`the centre's side answered HTTP ${status}`, { status });
  if (status !== 200 || body === null) {
    const text = (name: string): string | null => (typeof body?.[name] === 'string' ? body[name] : null);
    const message = text('detail') ?? text('title') ?? `expected the list of event types, found HTTP ${status}`;
    throw new RefusedError(text('code') ?? 'UNEXPECTED_ANSWER', message, { status });
  }
  return { status, page: body };
}

/** The event types of an answer, with what may be left out of it. @throws UnavailableError */
function described(items: unknown, status: number): DescribedEventType[] {
  if (!Array.isArray(items)) throw unreadable(status);
  return items.map((item: unknown) => {
    const given = (item ?? {}) as Record<string, unknown>;
    const { sourceId, eventTypeCode, schema = null } = given;
    if (typeof sourceId !== 'string' || typeof eventTypeCode !== 'string') throw unreadable(status);
    const text = (name: string): string | null => (typeof given[name] === 'string' ? given[name] : null);
    return {
      sourceId,
      sourceName: text('sourceName'),
      eventTypeCode,
      eventTypeName: text('eventTypeName'),
      note: text('note'),
      schema,
    };
  });
}

function unreadable(status: number): UnavailableError {
  const message = 'expected event types with sourceId and eventTypeCode in the answer, found something else';
  return new UnavailableError(message, { status, code: 'UNEXPECTED_ANSWER' });
}
