import { z } from 'zod';
import { invalidField } from '../../core/errors.js';
import type { LeaseDesk } from '../../core/leasing/lease-desk.js';
import type { LeaseReport } from '../../core/leasing/lease-report.js';
import { answerData } from './answer.js';
import type { PlainHandler } from './event-manager.js';
import { expectEachOnce, jsonField, MAX_LEASES, uuid } from './lease-fields.js';
import { signedPost, type SignedPostDeps } from './signed-post.js';

const FIELD = 'leases';
/** More listeners than any event type of a node has. */
const MAX_RESULTS = 1_000;
const MAX_ERROR_CHARACTERS = 10_000;
const TIME_RULE = 'expected a whole number of ms';

const time = z.int(TIME_RULE).min(0, TIME_RULE).nullable().default(null);

const result = z.object({
  listenerId: uuid,
  success: z.boolean('expected true or false'),
  error: z.string('expected a text').max(MAX_ERROR_CHARACTERS).nullable().default(null),
  startedAt: time,
  durationMs: time,
});

const leases = z
  .array(z.object({ leaseId: uuid, results: z.array(result).max(MAX_RESULTS) }))
  .min(1)
  .max(MAX_LEASES);

/** `POST {context}/eventmanager/settle.do` (protocol, section 5). */
export function settle(deps: SignedPostDeps & { desk: LeaseDesk }): PlainHandler {
  return signedPost(deps, [FIELD], async ({ node, fields, res }) => {
    const reports = readReports(fields);
    const codes = await deps.desk.settle(node.nodeCode, reports, FIELD);
    answerData(res, { leases: reports.map(({ leaseId }, index) => ({ leaseId, code: codes[index] })) });
  });
}

function readReports(fields: ReadonlyMap<string, string>): LeaseReport[] {
  const reports: LeaseReport[] = jsonField(fields, FIELD, leases);
  expectEachOnce(
    reports.map(({ leaseId }) => leaseId),
    (index) => `${FIELD}[${String(index)}].leaseId`,
  );
  reports.forEach(({ results }, at) => {
    const seen = new Set<string>();
    results.forEach(({ listenerId }, index) => {
      const path = `${FIELD}[${String(at)}].results[${String(index)}].listenerId`;
      if (seen.has(listenerId)) throw invalidField(path, 'expected each listener once');
      seen.add(listenerId);
    });
  });
  return reports;
}
