import { mayAct } from '../../src/core/access/access.js';
import { EventCenterError } from '../../src/core/errors.js';
import { accessOf, anAccess, knock, newToken } from '../support/accessing.js';
import { quietLog } from '../support/registry-admin.js';

const actor = { name: 'token:boss', requestId: 'r' };

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'OK',
    (error: unknown) => (error instanceof EventCenterError ? error.code : error),
  );

describe('tokens', () => {
  it('are shown once, stored hashed, and tell who calls', async () => {
    const { access, tokens, audit } = anAccess();
    const { token, secret } = await access.create(actor, newToken({ name: 'ops', role: 'operator', expiresAt: null }));
    expect(secret).toMatch(/^ec_[A-Za-z0-9_-]{43}$/);
    expect(await access.authenticate(knock(secret))).toEqual({ name: 'token:ops', role: 'operator', nodeCode: null });
    expect(JSON.stringify([tokens.rows, audit.records, await access.list()])).not.toContain(secret);
    expect(audit.records).toMatchObject([
      { action: 'token.created', subjectId: token.id, actor: 'token:boss', requestId: 'r' },
    ]);
  });

  it('are refused when unknown, without asking the store about what cannot be one', async () => {
    const { access, tokens } = anAccess();
    for (const text of ['', 'x', `ec_${'a'.repeat(42)}`, `EC_${'a'.repeat(43)}`]) {
      expect(await codeOf(access.authenticate(knock(text)))).toBe('UNAUTHENTICATED');
    }
    expect(tokens.lookups).toBe(0);
    expect(await codeOf(access.authenticate(knock(`ec_${'a'.repeat(43)}`)))).toBe('UNAUTHENTICATED');
    expect(tokens.lookups).toBe(1);
  });

  it('end at their time', async () => {
    const { access, clock } = anAccess();
    const { secret } = await access.create(
      actor,
      newToken({ name: 'short', role: 'viewer', expiresAt: clock.now() + 100 }),
    );
    expect(await codeOf(access.authenticate(knock(secret)))).toBe('OK');
    clock.time += 100;
    expect(await codeOf(access.authenticate(knock(secret)))).toBe('UNAUTHENTICATED');
    const past = access.create(actor, newToken({ name: 'past', role: 'viewer', expiresAt: clock.now() }));
    expect(await codeOf(past)).toBe('INVALID_PARAM');
  });

  it('are looked up at most once a second, and end within a second of a revocation elsewhere', async () => {
    const { access, another, tokens, clock } = anAccess();
    const { token, secret } = await access.create(actor, newToken({ name: 'ops', role: 'operator', expiresAt: null }));
    for (let index = 0; index < 10; index += 1) await access.authenticate(knock(secret));
    expect(tokens.lookups).toBe(1);
    await another().revoke(actor, token.id);
    expect(await codeOf(access.authenticate(knock(secret)))).toBe('OK');
    clock.time += 1_000;
    expect(await codeOf(access.authenticate(knock(secret)))).toBe('UNAUTHENTICATED');
  });

  it('end at once where they are revoked, and only once', async () => {
    const { access, audit } = anAccess();
    const { token, secret } = await access.create(actor, newToken({ name: 'ops', role: 'operator', expiresAt: null }));
    await access.authenticate(knock(secret));
    await access.revoke(actor, token.id);
    expect(await codeOf(access.authenticate(knock(secret)))).toBe('UNAUTHENTICATED');
    expect(await codeOf(access.revoke(actor, token.id))).toBe('NOT_FOUND');
    expect(audit.records.map((record) => record.action)).toEqual(['token.created', 'token.revoked']);
  });

  it('keep working for ten minutes while the database is away, asking it once a second', async () => {
    const { access, another, tokens, clock } = anAccess();
    const { secret } = await access.create(actor, newToken({ name: 'ops', role: 'operator', expiresAt: null }));
    await access.authenticate(knock(secret));
    tokens.isAway = true;
    expect(await codeOf(another().authenticate(knock(secret)))).toBe('UNAVAILABLE');
    clock.time += 599_000;
    tokens.lookups = 0;
    for (let index = 0; index < 5; index += 1) expect(await codeOf(access.authenticate(knock(secret)))).toBe('OK');
    expect(tokens.lookups).toBe(1);
    clock.time += 1_000;
    expect(await codeOf(access.authenticate(knock(secret)))).toBe('UNAVAILABLE');
    tokens.isAway = false;
    expect(await codeOf(access.authenticate(knock(secret)))).toBe('OK');
  });

  it('note their use once a minute', async () => {
    const { access, tokens, clock } = anAccess();
    const { secret } = await access.create(actor, newToken({ name: 'ops', role: 'operator', expiresAt: null }));
    const first = clock.now();
    await access.authenticate(knock(secret));
    clock.time += 59_000;
    await access.authenticate(knock(secret));
    expect(tokens.rows[0]?.token.lastUsedAt).toBe(first);
    clock.time += 1_000;
    await access.authenticate(knock(secret));
    expect(tokens.rows[0]?.token.lastUsedAt).toBe(first + 60_000);
  });

  it('have names that differ while they live', async () => {
    const { access } = anAccess();
    const request = newToken({ name: 'ops' });
    const { token } = await access.create(actor, request);
    expect(await codeOf(access.create(actor, request))).toBe('CONFLICT');
    await access.revoke(actor, token.id);
    expect(await codeOf(access.create(actor, request))).toBe('OK');
    expect(await codeOf(access.create(actor, { ...request, name: '' }))).toBe('INVALID_PARAM');
  });

  it('are made and revoked even when the audit log cannot be written, which is logged', async () => {
    const { tokens, audit, clock } = anAccess();
    const lost: unknown[] = [];
    const log = { ...quietLog, error: (event: string, fields?: object) => void lost.push([event, fields]) };
    audit.isAway = true;
    const access = accessOf({ tokens, audit, clock, log });
    await access.create(actor, newToken({ name: 'ops', role: 'viewer', expiresAt: null }));
    expect(lost).toMatchObject([['audit.entry-lost', { action: 'token.created', actor: 'token:boss' }]]);
  });
});

describe('the configured admin token', () => {
  it('works without the database', async () => {
    const { access, tokens } = anAccess('a-configured-token');
    tokens.isAway = true;
    expect(await access.authenticate(knock('a-configured-token'))).toEqual({
      name: 'token:configured',
      role: 'admin',
      nodeCode: null,
    });
    expect(await codeOf(access.authenticate(knock('a-configured-toke')))).toBe('UNAUTHENTICATED');
  });
});

describe('the first token', () => {
  it('is made once, for an admin', async () => {
    const { access, another } = anAccess();
    const secret = await access.ensureFirstToken();
    expect(await access.authenticate(knock(secret))).toEqual({
      name: 'token:first-admin',
      role: 'admin',
      nodeCode: null,
    });
    expect(await another().ensureFirstToken()).toBeNull();
  });

  it('is made by one of two processes that start together', async () => {
    const { access, another } = anAccess();
    const made = await Promise.all([access.ensureFirstToken(), another().ensureFirstToken()]);
    expect(made.filter((secret) => secret !== null)).toHaveLength(1);
  });

  it('is not made when one is configured', async () => {
    const { access, tokens } = anAccess('a-configured-token');
    expect(await access.ensureFirstToken()).toBeNull();
    expect(tokens.rows).toEqual([]);
  });
});

it('lets the higher roles do what the lower may', () => {
  const roles = ['viewer', 'operator', 'admin'] as const;
  expect(roles.map((role) => roles.filter((needed) => mayAct(role, needed)))).toEqual([
    ['viewer'],
    ['viewer', 'operator'],
    ['viewer', 'operator', 'admin'],
  ]);
});
