import type { BusinessEvent } from '../business-event.js';
import { EventCenterClientError } from '../errors.js';
import { splitUrl } from '../signature.js';
import { eventIn } from './callback.js';
import { CallerGone } from './raw-body.js';
import type { CheckedReceiverOptions } from './receiver-options.js';
import { ReceiverRefusal } from './receiver-refusal.js';

/** A call before its body is read. */
export interface IncomingCall {
  method: string;
  /** Path and query as they arrived, or an absolute url. */
  target: string;
  /** Text of a header by its name in lower case; null when it is absent or empty. */
  header: (name: string) => string | null;
  readBody: (maxBytes: number) => Promise<Uint8Array>;
  /** Aborted when the caller hangs up. */
  signal: AbortSignal;
}

/** An answer to a call. */
export interface CallAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** What is done with calls. */
export interface Receiving {
  options: CheckedReceiverOptions;
  act: (event: BusinessEvent, context: { signal: AbortSignal }) => void | Promise<void>;
}

/** Takes a call to its answer; null when there is nobody to answer. Never rejects. */
export async function answerCall(call: IncomingCall, { options, act }: Receiving): Promise<CallAnswer | null> {
  let event: BusinessEvent;
  try {
    event = await readEvent(call, options);
  } catch (error) {
    tell(options, error, null);
    return error instanceof CallerGone ? null : refused(error);
  }
  try {
    await handOver(event, options, async () => act(event, { signal: call.signal }));
    return SUCCESS;
  } catch (error) {
    tell(options, error, event);
    return error instanceof CopyInProgress
      ? failure({ status: 200, code: error.code, message: error.message })
      : failure({ status: 200, code: 'HANDLER_FAILED', message: 'the application could not act on the event' });
  }
}

async function readEvent(
  call: IncomingCall,
  { trust, maxBodyBytes, publicPath }: CheckedReceiverOptions,
): Promise<BusinessEvent> {
  if (call.method !== 'POST') throw new ReceiverRefusal('METHOD_NOT_ALLOWED', 'expected POST');
  const body = await call.readBody(maxBodyBytes);
  const { path, query } = splitUrl(call.target);
  return eventIn({ target: `${publicPath(path)}?${query}`, header: call.header, body }, trust);
}

/** @throws CopyInProgress, or what the application threw. */
async function handOver(
  { eventId, listenerId }: BusinessEvent,
  { inbox, inboxScope }: CheckedReceiverOptions,
  run: () => Promise<void>,
): Promise<void> {
  if (inbox === null) return run();
  const result = await inbox.run({ eventId, listenerId: inboxScope ?? listenerId }, run);
  if (result === 'busy') throw new CopyInProgress();
}

class CopyInProgress extends EventCenterClientError {
  constructor() {
    super('IN_PROGRESS', 'another copy of this event is being acted on');
  }
}

const JSON_HEADERS = { 'content-type': 'application/json;charset=UTF-8' };
const SUCCESS: CallAnswer = { status: 200, headers: JSON_HEADERS, body: '{"success":"true"}' };

function refused(error: unknown): CallAnswer {
  if (!(error instanceof ReceiverRefusal)) {
    return failure({ status: 500, code: 'INTERNAL', message: 'the call could not be read' });
  }
  const answer = failure(error);
  return error.code === 'METHOD_NOT_ALLOWED' ? { ...answer, headers: { ...answer.headers, allow: 'POST' } } : answer;
}

function failure({ status, code, message }: { status: number; code: string; message: string }): CallAnswer {
  return { status, headers: JSON_HEADERS, body: JSON.stringify({ success: 'false', code, message }) };
}

/** What fails in telling does not change what is told to the centre. */
function tell({ onError }: CheckedReceiverOptions, error: unknown, event: BusinessEvent | null): void {
  try {
    onError(error, event);
  } catch {
    // The answer says what there is to say.
  }
}
