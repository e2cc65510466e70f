import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { appendAudit } from './audit.js';
import { EventCenterError, hasCode, invalidField, type FieldError } from '../errors.js';
import { expectText, FieldProblems, rulesBrokenIn } from '../field-problems.js';
import { uuidV7 } from '../ids.js';
import { keepNewest } from '../keep-newest.js';
import type { Lockout } from './lockout.js';
import type { Changes } from '../registry/registry-change.js';
import { CODE_LENGTH, NAME_LENGTH } from '../registry/registry-limits.js';
import type { RegistryView } from '../registry/registry.js';
import type { Actor, ApiToken, AuditStore, Clock, Log, Metrics, Role, TokenStore } from '../ports.js';

export interface AccessDeps {
  tokens: TokenStore;
  audit: AuditStore;
  /** Tells whether the node of a token is registered. */
  registry: Pick<RegistryView, 'current' | 'refreshed'>;
  lockout: Lockout;
  metrics: Pick<Metrics, 'callerRefused' | 'incident'>;
  clock: Clock;
  log: Log;
  /** A token that is `admin` without standing in the database, or null. */
  adminToken: string | null;
}

/** Who calls the management API. */
export interface Principal {
  /** `token:<name>`; the configured token is `token:configured`. */
  name: string;
  role: Role;
  /** The node whose things alone it reaches; null is the whole centre. */
  nodeCode: string | null;
}

/** A token as it is asked for. */
export interface NewToken {
  name: string;
  role: Role;
  nodeCode: string | null;
  expiresAt: number | null;
}

/** A call that asks to be let in. */
export interface Knock {
  /** The token's text; null when there is none, or nothing that could be one. */
  token: string | null;
  /** Whether anything was presented at all. */
  presented: boolean;
  /** Where it comes from, for the lockout. */
  address: string;
}

/** What was learnt of a token from the store. */
interface Known {
  token: ApiToken;
  /** When the store was last asked and answered; a revocation after that is not known. */
  askedAt: number;
  /** When the store was last asked and did not answer. */
  missedAt: number;
}

/** Why a token is not good. */
type Refusal = keyof typeof REFUSALS;

const REFUSALS = {
  unknown: 'the token is not known',
  revoked: 'the token was revoked',
  expired: 'the token has expired',
  'node-gone': 'the node of the token is not registered any more',
};

const SYSTEM: Actor = { name: 'system', requestId: null };
const PREFIX = 'ec_';
const TOKEN = /^ec_[A-Za-z0-9_-]{43}$/;
const FIRST_TOKEN_NAME = 'first-admin';

/** A revocation is seen within a second. */
const FRESH_MS = 900;
/** How long a token keeps working while the database is away. */
const OUTAGE_MS = 10 * 60_000;
const TOUCH_MS = 60_000;
const MOST_KNOWN = 10_000;

const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

/** Whether `role` may do what `needed` may: admin > operator > viewer. */
export function mayAct(role: Role, needed: Role): boolean {
  return RANK[role] >= RANK[needed];
}

/** Bearer tokens: who calls, and making and revoking them. Tokens are stored hashed and shown once. */
export class Access {
  readonly #deps: AccessDeps;
  readonly #adminHash: Buffer | null;
  readonly #known = new Map<string, Known>();

  constructor(deps: AccessDeps) {
    this.#deps = deps;
    this.#adminHash = deps.adminToken === null ? null : hashOf(deps.adminToken);
  }

  /**
   * Who knocks. The store is asked at most once a second per token; while it is away, a token that was good within the
   * last ten minutes stays good. Too many tokens that nobody was given lock their address; only tokens that were good from
   * there a short while ago are looked at then.
   * @throws UNAUTHENTICATED without a token and for an unknown, expired or revoked one, or one whose node is gone;
   *   RATE_LIMITED while the address is locked; UNAVAILABLE when only the store could tell.
   */
  async authenticate({ token, presented, address }: Knock): Promise<Principal> {
    const hash = hashOf(token ?? '');
    const key = hash.toString('base64');
    const { lockout } = this.#deps;
    const remainingMs = lockout.remainingMs(address);
    if (remainingMs > 0 && !(token !== null && lockout.isTrusted(address, key))) {
      throw this.#refused('locked', lockedOut(remainingMs));
    }
    if (!presented) throw this.#refused('missing', refused('there is no token'));
    const verdict = token === null ? 'unknown' : await this.#verdict(token, { hash, key });
    if (typeof verdict !== 'string') {
      lockout.succeeded(address, key);
      return verdict;
    }
    // Who holds a token that has ended guesses nothing, and those behind the same proxy need not pay for it.
    if (verdict === 'unknown' && lockout.failed(address)) await this.#noteLocked(address);
    throw this.#refused(verdict, refused(REFUSALS[verdict]));
  }

  list(): Promise<ApiToken[]> {
    return this.#deps.tokens.list();
  }

  /** How many addresses are locked out. */
  lockedAddresses(): number {
    return this.#deps.lockout.lockedAddresses();
  }

  /** The rules that these fields of a new token break; what is left out or undefined breaks none. */
  rulesBroken({ name = 'A', expiresAt = null }: Changes<{ name: string; expiresAt: number | null }>): FieldError[] {
    return rulesBrokenIn(() => {
      checkToken({ name, expiresAt }, this.#deps.clock.now());
    });
  }

  /**
   * Makes a token; `secret` is its text, which nobody can read again.
   * @throws INVALID_PARAM, also at `nodeCode` when there is no such node; CONFLICT when the name is taken by a live
   *   token; UNAVAILABLE.
   */
  async create(actor: Actor, request: NewToken): Promise<{ token: ApiToken; secret: string }> {
    const { tokens, audit, clock, log } = this.#deps;
    const now = clock.now();
    checkToken(request, now);
    const { nodeCode } = request;
    if (nodeCode !== null && !(await this.#hasNode(nodeCode)))
      throw invalidField('nodeCode', `there is no node ${nodeCode.slice(0, CODE_LENGTH)}`);
    const secret = PREFIX + randomBytes(32).toString('base64url');
    const token: ApiToken = { id: uuidV7(now), ...request, createdAt: now, revokedAt: null, lastUsedAt: null };
    await tokens.create(token, hashOf(secret));
    const { name, role, expiresAt } = token;
    const detail = { name, role, nodeCode, expiresAt };
    await appendAudit({ audit, clock, log }, actor, {
      action: 'token.created',
      subjectKind: 'token',
      subjectId: token.id,
      detail,
    });
    return { token, secret };
  }

  /** Ends a token, in every process within a second. @throws NOT_FOUND, UNAVAILABLE. */
  async revoke(actor: Actor, id: string): Promise<void> {
    const { tokens, audit, clock, log } = this.#deps;
    const token = (await tokens.list()).find((one) => one.id === id);
    if (token === undefined || !(await tokens.revoke(id, clock.now())))
      throw new EventCenterError('NOT_FOUND', `there is no live token ${id}`);
    for (const [hash, known] of this.#known) if (known.token.id === id) this.#known.delete(hash);
    await appendAudit({ audit, clock, log }, actor, {
      action: 'token.revoked',
      subjectKind: 'token',
      subjectId: id,
      detail: { name: token.name, role: token.role, nodeCode: token.nodeCode },
    });
  }

  /**
   * The text of a first admin token, made when there is none and none is configured; else null. To be printed once.
   * @throws UNAVAILABLE.
   */
  async ensureFirstToken(): Promise<string | null> {
    if (this.#adminHash !== null || (await this.#deps.tokens.count()) > 0) return null;
    try {
      const request = { name: FIRST_TOKEN_NAME, role: 'admin' as const, nodeCode: null, expiresAt: null };
      const { secret } = await this.create(SYSTEM, request);
      return secret;
    } catch (error) {
      // Another process that started at the same time was first.
      if (hasCode(error, 'CONFLICT')) return null;
      throw error;
    }
  }

  /** Who it is, or why it is nobody. */
  async #verdict(text: string, { hash, key }: { hash: Buffer; key: string }): Promise<Principal | Refusal> {
    if (this.#adminHash !== null && timingSafeEqual(hash, this.#adminHash))
      return { name: 'token:configured', role: 'admin', nodeCode: null };
    const token = TOKEN.test(text) ? await this.#find(hash, key) : null;
    const now = this.#deps.clock.now();
    if (token === null) return 'unknown';
    if (token.revokedAt !== null && token.revokedAt <= now) return 'revoked';
    if (token.expiresAt !== null && token.expiresAt <= now) return 'expired';
    const { name, role, nodeCode } = token;
    if (nodeCode !== null && !(await this.#hasNode(nodeCode))) {
      // It was revoked with its node: what is remembered must not serve a node that gets the same code at once.
      this.#known.delete(key);
      return 'node-gone';
    }
    return { name: `token:${name}`, role, nodeCode };
  }

  async #hasNode(nodeCode: string): Promise<boolean> {
    const { registry } = this.#deps;
    if (registry.current().node(nodeCode) !== null) return true;
    return (await registry.refreshed()).node(nodeCode) !== null;
  }

  #refused(reason: Refusal | 'missing' | 'locked', error: EventCenterError): EventCenterError {
    this.#deps.metrics.callerRefused(reason);
    return error;
  }

  async #noteLocked(address: string): Promise<void> {
    const { audit, clock, log, metrics, lockout } = this.#deps;
    const forMs = lockout.remainingMs(address);
    log.warn('access.address-locked', { address, forMs });
    metrics.incident('access.address-locked');
    await appendAudit({ audit, clock, log }, SYSTEM, {
      action: 'access.locked',
      subjectKind: 'address',
      subjectId: address,
      detail: { forMs },
    });
  }

  async #find(hash: Buffer, key: string): Promise<ApiToken | null> {
    const now = this.#deps.clock.now();
    const known = this.#known.get(key);
    if (known !== undefined && (isWithin(known.askedAt, now, FRESH_MS) || isUsableInOutage(known, now)))
      return known.token;
    try {
      const token = await this.#deps.tokens.findByHash(hash);
      this.#remember(key, token, now);
      return token;
    } catch (error) {
      if (!hasCode(error, 'UNAVAILABLE') || known === undefined || !isWithin(known.askedAt, now, OUTAGE_MS))
        throw error;
      known.missedAt = this.#deps.clock.now();
      return known.token;
    }
  }

  #remember(key: string, token: ApiToken | null, askedAt: number): void {
    if (token === null) {
      this.#known.delete(key);
      return;
    }
    keepNewest(this.#known, [key, { token, askedAt, missedAt: -Infinity }], MOST_KNOWN);
    if (token.lastUsedAt === null || askedAt - token.lastUsedAt >= TOUCH_MS) this.#touch(token, askedAt);
  }

  /** When a token was last used is worth no failed call. */
  #touch(token: ApiToken, at: number): void {
    this.#deps.tokens.touch(token.id, at).catch((error: unknown) => {
      this.#deps.log.debug('token.use-not-noted', { error });
    });
  }
}

/** During an outage only one call a second waits for the store. */
function isUsableInOutage(known: Known, now: number): boolean {
  return isWithin(known.missedAt, now, FRESH_MS) && isWithin(known.askedAt, now, OUTAGE_MS);
}

function isWithin(since: number, now: number, spanMs: number): boolean {
  return now - since < spanMs;
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function lockedOut(remainingMs: number): EventCenterError {
  const retryAfterSeconds = Math.ceil(remainingMs / 1_000);
  return new EventCenterError(
    'RATE_LIMITED',
    `too many calls with tokens that are not known came from this address; wait ${String(retryAfterSeconds)} s`,
    { retryAfterSeconds },
  );
}

function refused(reason: string): EventCenterError {
  return new EventCenterError('UNAUTHENTICATED', `${reason}; send "Authorization: Bearer <token>" with a live one`);
}

function checkToken({ name, expiresAt }: { name: string; expiresAt: number | null }, now: number): void {
  const problems = new FieldProblems();
  expectText(problems, { path: 'name', text: name }, { max: NAME_LENGTH, code: true });
  problems.expect(expiresAt === null || expiresAt > now, 'expiresAt', 'expected a time to come');
  problems.throwIfAny();
}
