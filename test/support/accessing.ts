import { Access, type AccessDeps, type Knock, type NewToken } from '../../src/core/access/access.js';
import { Lockout, type LockoutOptions } from '../../src/core/access/lockout.js';
import type { Clock } from '../../src/core/ports.js';
import { MemoryAuditStore, MemoryTokenStore } from './memory-access-stores.js';
import { ManualClock, quietLog } from './registry-admin.js';

/** Where calls come from unless a test says otherwise. */
const ADDRESS = '192.0.2.1';

const LOCKOUT: LockoutOptions = { failures: 3, windowMs: 60_000, durationMs: 30_000 };

/** A call with a token. */
export function knock(token: string | null, address = ADDRESS): Knock {
  return { token, presented: true, address };
}

/** A token of the whole centre. */
export function newToken(fields: Partial<NewToken> & { name: string }): NewToken {
  return { role: 'viewer', nodeCode: null, expiresAt: null, ...fields };
}

/** A registry that knows these nodes and nothing else. */
function nodesOnly(...nodeCodes: string[]): AccessDeps['registry'] & { nodeCodes: Set<string> } {
  const known = new Set(nodeCodes);
  const snapshot = { node: (code: string) => (known.has(code) ? {} : null) } as ReturnType<
    AccessDeps['registry']['current']
  >;
  return { nodeCodes: known, current: () => snapshot, refreshed: async () => snapshot };
}

/** Access that is locked out of nothing unless `lockout` says so. */
export function accessOf(over: Partial<AccessDeps> & { clock: Clock; lockoutOptions?: LockoutOptions }): Access {
  const { lockoutOptions = { ...LOCKOUT, failures: 0 }, ...deps } = over;
  return new Access({
    tokens: new MemoryTokenStore(),
    audit: new MemoryAuditStore(),
    registry: nodesOnly(),
    lockout: new Lockout({ clock: over.clock, options: lockoutOptions }),
    metrics: { callerRefused: () => {}, incident: () => {} },
    log: quietLog,
    adminToken: null,
    ...deps,
  });
}

/** Access with all that stands around it. */
export function anAccess(adminToken: string | null = null, lockoutOptions?: LockoutOptions) {
  const tokens = new MemoryTokenStore();
  const audit = new MemoryAuditStore();
  const clock = new ManualClock();
  const registry = nodesOnly('A', 'B');
  const refusals: string[] = [];
  const metrics = { callerRefused: (reason: string) => void refusals.push(reason), incident: () => {} };
  const another = () =>
    accessOf({ tokens, audit, clock, registry, metrics, adminToken, ...(lockoutOptions && { lockoutOptions }) });
  return { access: another(), another, tokens, audit, clock, registry, refusals };
}
