import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../../core/accepting/authenticate.js';
import { invalidField } from '../../core/errors.js';
import type { Node } from '../../core/model.js';
import type { PlainHandler } from './event-manager.js';
import type { BodyReader } from './read-body.js';
import { readSignedRequest, type SignedRequest } from './signed-request.js';

export interface SignedPostDeps {
  authenticator: Authenticator;
  bodies: BodyReader;
}

/** A signed call of a node. */
export interface NodeCall {
  node: Node;
  /** Field by name; what is empty counts as absent. */
  fields: ReadonlyMap<string, string>;
  req: IncomingMessage;
  res: ServerResponse;
}

/**
 * A signed `POST` of a node about its own events (protocol, section 5). Fields are taken as those of a send: from the
 * body, where the signature covers them.
 * @param names of the fields that `handle` is given; others are signed and otherwise ignored.
 */
export function signedPost(
  deps: SignedPostDeps,
  names: readonly string[],
  handle: (call: NodeCall) => Promise<void>,
): PlainHandler {
  return {
    method: 'POST',
    handle: async (req, res, target) => {
      const request = readSignedRequest(req, target, await deps.bodies.read(req, res));
      const node = await deps.authenticator.authenticate(request);
      await handle({ node, fields: fieldsOf(request, names), req, res });
    },
  };
}

/** @throws INVALID_PARAM naming a field that stands twice, or in the query too. */
function fieldsOf({ fields, query }: SignedRequest, names: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  const seen = new Set<string>();
  for (const [name, value] of fields) {
    if (!names.includes(name)) continue;
    if (seen.has(name)) throw invalidField(name, 'expected it once');
    if (query.values.has(name)) throw invalidField(name, 'expected it in the body only, found it in the query too');
    seen.add(name);
    if (value !== '') values.set(name, value);
  }
  return values;
}
