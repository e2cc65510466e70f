import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { appendAudit } from './audit.js';
import { EventCenterError, hasCode, type FieldError } from '../errors.js';
import { expectText, FieldProblems, rulesBrokenIn } from '../field-problems.js';
import { uuidV7 } from '../ids.js';
import type { Changes } from '../registry/registry-change.js';
import { NAME_LENGTH } from '../registry/registry-limits.js';
import type { Actor, ApiToken, AuditStore, Clock, Log, Role, TokenStore } from '../ports.js';

export interface AccessDeps {
  tokens: TokenStore;
  audit: AuditStore;
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
}

/** What was learnt of a token from the store. */
interface Known {
  token: ApiToken;
  /** When the store was last asked and answered; a revocation after that is not known. */
  askedAt: number;
  /** When the store was last asked and did not answer. */
  missedAt: number;
}

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
   * Who the bearer of `text` is. The store is asked at most once a second per token; while it is away, a token that was
   * good within the last ten minutes stays good.
   * @throws UNAUTHENTICATED for an unknown, expired or revoked token; UNAVAILABLE when only the store could tell.
   */
  async authenticate(text: string): Promise<Principal> {
    const hash = hashOf(text);
    if (this.#adminHash !== null && timingSafeEqual(hash, this.#adminHash))
      return { name: 'token:configured', role: 'admin' };
    const token = TOKEN.test(text) ? await this.#find(hash) : null;
    const now = this.#deps.clock.now();
    if (token === null) throw refused('the token is not known');
    if (token.revokedAt !== null && token.revokedAt <= now) throw refused('the token was revoked');
    if (token.expiresAt !== null && token.expiresAt <= now) throw refused('the token has expired');
    return { name: `token:${token.name}`, role: token.role };
  }

  list(): Promise<ApiToken[]> {
    return this.#deps.tokens.list();
  }

  /** The rules that these fields of a new token break; what is left out or undefined breaks none. */
  rulesBroken({ name = 'A', expiresAt = null }: Changes<{ name: string; expiresAt: number | null }>): FieldError[] {
    return rulesBrokenIn(() => {
      checkToken({ name, expiresAt }, this.#deps.clock.now());
    });
  }

  /**
   * Makes a token; `secret` is its text, which nobody can read again.
   * @throws INVALID_PARAM; CONFLICT when the name is taken by a live token; UNAVAILABLE.
   */
  async create(
    actor: Actor,
    request: { name: string; role: Role; expiresAt: number | null },
  ): Promise<{ token: ApiToken; secret: string }> {
    const { tokens, audit, clock, log } = this.#deps;
    const now = clock.now();
    checkToken(request, now);
    const secret = PREFIX + randomBytes(32).toString('base64url');
    const token: ApiToken = { id: uuidV7(now), ...request, createdAt: now, revokedAt: null, lastUsedAt: null };
    await tokens.create(token, hashOf(secret));
    const detail = { name: token.name, role: token.role, expiresAt: token.expiresAt };
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
    if (!(await tokens.revoke(id, clock.now())))
      throw new EventCenterError('NOT_FOUND', `there is no live token ${id}`);
    for (const [hash, known] of this.#known) if (known.token.id === id) this.#known.delete(hash);
    await appendAudit({ audit, clock, log }, actor, {
      action: 'token.revoked',
      subjectKind: 'token',
      subjectId: id,
      detail: {},
    });
  }

  /**
   * The text of a first admin token, made when there is none and none is configured; else null. To be printed once.
   * @throws UNAVAILABLE.
   */
  async ensureFirstToken(): Promise<string | null> {
    if (this.#adminHash !== null || (await this.#deps.tokens.count()) > 0) return null;
    try {
      const request = { name: FIRST_TOKEN_NAME, role: 'admin' as const, expiresAt: null };
      const { secret } = await this.create({ name: 'system', requestId: null }, request);
      return secret;
    } catch (error) {
      // Another process that started at the same time was first.
      if (hasCode(error, 'CONFLICT')) return null;
      throw error;
    }
  }

  async #find(hash: Buffer): Promise<ApiToken | null> {
    const key = hash.toString('base64');
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
    this.#known.delete(key);
    if (token === null) return;
    this.#known.set(key, { token, askedAt, missedAt: -Infinity });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MOST_KNOWN && oldest !== undefined) this.#known.delete(oldest);
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

function refused(reason: string): EventCenterError {
  return new EventCenterError('UNAUTHENTICATED', `${reason}; send "Authorization: Bearer <token>" with a live one`);
}

function checkToken({ name, expiresAt }: { name: string; expiresAt: number | null }, now: number): void {
  const problems = new FieldProblems();
  expectText(problems, { path: 'name', text: name }, { max: NAME_LENGTH, code: true });
  problems.expect(expiresAt === null || expiresAt > now, 'expiresAt', 'expected a time to come');
  problems.throwIfAny();
}
