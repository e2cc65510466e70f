import { z } from 'zod';
import type { LeaseDesk } from '../../core/leasing/lease-desk.js';
import { answerData } from './answer.js';
import type { PlainHandler } from './event-manager.js';
import { expectEachOnce, jsonField, MAX_LEASES, uuid } from './lease-fields.js';
import { signedPost, type SignedPostDeps } from './signed-post.js';

const FIELD = 'leaseIds';
const leaseIds = z.array(uuid).min(1).max(MAX_LEASES);

/** `POST {context}/eventmanager/release.do` (protocol, section 5). */
export function release(deps: SignedPostDeps & { desk: LeaseDesk }): PlainHandler {
  return signedPost(deps, [FIELD], async ({ node, fields, res }) => {
    const ids = jsonField(fields, FIELD, leaseIds);
    expectEachOnce(ids, (index) => `${FIELD}[${String(index)}]`);
    const codes = await deps.desk.release(node.nodeCode, ids);
    answerData(res, { leases: ids.map((leaseId, index) => ({ leaseId, code: codes[index] })) });
  });
}
