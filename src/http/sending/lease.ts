import type { ServerResponse } from 'node:http';
import { MAX_LEASE_MS, type LeasedDelivery, type LeaseDesk } from '../../core/leasing/lease-desk.js';
import type { Log } from '../../core/ports.js';
import { answerData } from './answer.js';
import type { PlainHandler } from './event-manager.js';
import { MAX_LEASES, wholeNumber } from './lease-fields.js';
import { signedPost, type SignedPostDeps } from './signed-post.js';

const DEFAULT_MAX = 10;
const DEFAULT_WAIT_MS = 20_000;
const MAX_WAIT_MS = 30_000;
const MIN_LEASE_MS = 1_000;

export interface LeaseRouteDeps extends SignedPostDeps {
  desk: LeaseDesk;
  log: Log;
}

/** `POST {context}/eventmanager/lease.do` (protocol, section 5). */
export function lease(deps: LeaseRouteDeps): PlainHandler {
  return signedPost(deps, ['max', 'waitMs', 'leaseMs'], async ({ node, fields, res }) => {
    const request = {
      nodeCode: node.nodeCode,
      max: wholeNumber(fields, 'max', { min: 1, max: MAX_LEASES, absent: DEFAULT_MAX }),
      waitMs: wholeNumber(fields, 'waitMs', { min: 0, max: MAX_WAIT_MS, absent: DEFAULT_WAIT_MS }),
      leaseMs: wholeNumber(fields, 'leaseMs', { min: MIN_LEASE_MS, max: MAX_LEASE_MS, absent: null }),
    };
    const gone = new AbortController();
    const hungUp = (): void => {
      gone.abort();
    };
    res.once('close', hungUp);
    if (res.destroyed) hungUp();
    const deliveries = await deps.desk.lease(request, gone.signal);
    const giveBack = (): void => {
      if (!res.writableFinished) void releaseUnseen(deps, node.nodeCode, deliveries);
    };
    if (gone.signal.aborted) {
      giveBack();
      return;
    }
    res.off('close', hungUp).once('close', giveBack);
    answerDeliveries(res, deliveries);
  });
}

/** The caller hung up before it had the answer, so nobody knows of these leases. */
async function releaseUnseen({ desk, log }: LeaseRouteDeps, nodeCode: string, given: LeasedDelivery[]): Promise<void> {
  if (given.length === 0) return;
  try {
    await desk.release(
      nodeCode,
      given.map(({ leaseId }) => leaseId),
    );
  } catch (error) {
    // They end by themselves.
    log.warn('lease.not-released', { nodeCode, count: given.length, error });
  }
}

function answerDeliveries(res: ServerResponse, deliveries: LeasedDelivery[]): void {
  answerData(res, { deliveries: deliveries.map(describe) });
}

function describe({ leaseId, leasedUntil, event, onExhausted, listeners }: LeasedDelivery): Record<string, unknown> {
  const { eventId, sourceId, eventType, tenantCode, senderUuid, traceparent, acceptedAt } = event;
  const userObject = event.userObject?.toString('utf8') ?? null;
  return {
    leaseId,
    leasedUntil,
    event: { eventId, sourceId, eventType, tenantCode, userObject, senderUuid, traceparent, acceptedAt },
    onExhausted,
    listeners: listeners.map(({ listener, attempt, lastAttempt }) => ({
      listenerId: listener.id,
      name: listener.name,
      implClassName: listener.implClassName,
      operIndex: listener.operIndex,
      attempt,
      timeoutMs: listener.timeoutMs,
      lastAttempt,
    })),
  };
}
