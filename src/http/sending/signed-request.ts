import type { IncomingMessage } from 'node:http';
import {
  CHUNKED,
  decodeKey,
  formText,
  parseQuery,
  verifySignature,
  type FormField,
  type SignedParts,
  type SignedQuery,
} from '@event-center/sdk';
import type { SignedCall } from '../../core/accepting/authenticate.js';
import { EventCenterError, invalidField } from '../../core/errors.js';
import { readFields } from './body-fields.js';

/** Raw path and query of a request, as they stand in its request line. */
export interface RequestTarget {
  path: string;
  query: string;
}

/** A signed call with the fields of its body; none when it is unreadable or a GET. */
export interface SignedRequest extends SignedCall {
  query: SignedQuery;
  fields: FormField[];
}

/** Reads who signed a request and how (protocol, section 1). `body` is null for a GET. Never throws. */
export function readSignedRequest(req: IncomingMessage, target: RequestTarget, body: Buffer | null): SignedRequest {
  const query = parseQuery(target.query);
  const { fields, unreadable } = body === null ? NO_BODY : tryReadFields(req, body);
  const parts: SignedParts = {
    path: target.path,
    query,
    contentLength: req.headers['transfer-encoding'] === undefined ? (body?.length ?? 0) : CHUNKED,
    form: body === null ? null : formText(fields, query),
  };
  const sign = headerText(req, 'sign') ?? query.values.get('sign') ?? '';
  return {
    appId: query.values.get('appId') ?? headerText(req, 'appid'),
    ts: query.values.get('ts') ?? null,
    sign,
    query,
    fields,
    unreadable,
    isSignedWith: (keyText, algorithm) => {
      const key = decodeKey(keyText);
      return key !== null && verifySignature(sign, parts, { key, algorithm });
    },
  };
}

const NO_BODY: { fields: FormField[]; unreadable: EventCenterError | null } = { fields: [], unreadable: null };

function tryReadFields(req: IncomingMessage, body: Buffer): typeof NO_BODY {
  try {
    const encoding = req.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') throw invalidField('Content-Encoding', 'expected none');
    return { fields: readFields(req.headers['content-type'], body), unreadable: null };
  } catch (error) {
    if (error instanceof EventCenterError) return { fields: [], unreadable: error };
    throw error;
  }
}

/** A header as one text; null when it is absent or empty. */
export function headerText(req: IncomingMessage, name: string): string | null {
  const value = req.headers[name];
  return typeof value === 'string' && value !== '' ? value : null;
}
