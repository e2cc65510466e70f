import type { BusinessEvent } from '../business-event.js';
import { InvalidOptionError } from '../errors.js';
import { checkKey } from '../inbox/inbox.js';
import type { Inbox } from '../inbox/inbox.js';
import { decodeKey } from '../signature.js';
import type { SignatureAlgorithm } from '../signature.js';
import type { Trust } from './callback.js';

/** Whom a receiver believes, and what it does with it. */
export interface ReceiverOptions {
  /** The node's `client_key`, in Base64 as it was registered. */
  clientKey?: string | undefined;
  /** Several of them, while one replaces the other. */
  keys?: readonly string[] | undefined;
  /** The application's node code: calls signed for another are refused. By default it is not looked at. */
  nodeCode?: string | undefined;
  /** What the node signs with; `HmacSHA1` by default. */
  algorithm?: SignatureAlgorithm | undefined;
  /** How far the time of a signature may be from this process's clock, in milliseconds, either way; 300000 by default. */
  toleranceMs?: number | undefined;
  /** The largest body, in bytes; 4 MiB by default, which takes a payload of 1 MiB escaped. */
  maxBodyBytes?: number | undefined;
  /**
   * False lets calls without a signature through, for a node without a client key: whoever reaches the receiver is believed
   * then. A signature that is there must still be right. True by default.
   */
  requireSignature?: boolean | undefined;
  /**
   * The path that the centre calls, when something in front of the application rewrites it: the whole path, or a function
   * of the path that arrives here. By default it is the one that arrives.
   */
  publicPath?: string | ((path: string) => string) | undefined;
  /** Remembers events, so that the application acts once though an event comes twice. None by default. */
  inbox?: Inbox | undefined;
  /**
   * What the inbox files the events under, up to 64 printable ASCII characters. By default it is the listener's id, which
   * stands in a header that the signature does not cover.
   */
  inboxScope?: string | undefined;
  /** Told of every call that was not a success: what was refused, and what the application threw. */
  onError?: ((error: unknown, event: BusinessEvent | null) => void) | undefined;
}

/** Options that satisfy their rules. */
export interface CheckedReceiverOptions {
  trust: Trust;
  maxBodyBytes: number;
  publicPath: (path: string) => string;
  inbox: Inbox | null;
  inboxScope: string | null;
  onError: (error: unknown, event: BusinessEvent | null) => void;
}

const ALGORITHMS: readonly SignatureAlgorithm[] = ['HmacSHA1', 'HmacSHA256', 'HmacSHA384', 'HmacSHA512'];
const DEFAULT_TOLERANCE_MS = 300_000;
const DEFAULT_MAX_BODY_BYTES = 4 * 1024 * 1024;

/** @throws InvalidOptionError naming the option. */
export function checkReceiverOptions(options: ReceiverOptions): CheckedReceiverOptions {
  const { algorithm = 'HmacSHA1', requireSignature = true, publicPath, inboxScope } = options;
  if (!ALGORITHMS.includes(algorithm)) {
    throw new InvalidOptionError('algorithm', `expected one of ${ALGORITHMS.join(', ')}`);
  }
  const keys = keysIn(options);
  if (keys.length === 0 && requireSignature) {
    throw new InvalidOptionError('clientKey', 'required, unless requireSignature is false');
  }
  if (typeof publicPath === 'string' && !publicPath.startsWith('/')) {
    throw new InvalidOptionError('publicPath', 'expected a path that begins with /');
  }
  if (inboxScope !== undefined) checkScope(inboxScope);
  return {
    trust: {
      keys,
      algorithm,
      nodeCode: options.nodeCode ?? null,
      toleranceMs: positive('toleranceMs', options.toleranceMs ?? DEFAULT_TOLERANCE_MS),
      requireSignature,
    },
    maxBodyBytes: positive('maxBodyBytes', options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES),
    publicPath: pathRule(publicPath),
    inbox: options.inbox ?? null,
    inboxScope: inboxScope ?? null,
    onError: options.onError ?? ignore,
  };
}

function keysIn({ clientKey, keys = [] }: ReceiverOptions): Uint8Array[] {
  const texts = keys.map((text, index) => decoded(`keys[${String(index)}]`, text));
  return clientKey === undefined ? texts : [decoded('clientKey', clientKey), ...texts];
}

function decoded(option: string, text: unknown): Uint8Array {
  const key = typeof text === 'string' ? decodeKey(text) : null;
  if (key === null) throw new InvalidOptionError(option, 'expected Base64 text that decodes to at least one byte');
  return key;
}

function checkScope(scope: string): void {
  try {
    checkKey({ eventId: scope });
  } catch {
    throw new InvalidOptionError('inboxScope', 'expected 1 to 64 printable ASCII characters');
  }
}

function pathRule(publicPath: ReceiverOptions['publicPath']): (path: string) => string {
  if (publicPath === undefined) return (path) => path;
  return typeof publicPath === 'string' ? () => publicPath : publicPath;
}

function positive(option: string, value: number): number {
  if (!Number.isInteger(value) || value < 1) throw new InvalidOptionError(option, 'expected a whole number from 1 on');
  return value;
}

function ignore(): void {
  // Nobody asked to be told.
}
