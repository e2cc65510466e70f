import { Lockout } from '../../src/core/access/lockout.js';
import { anAccess, knock, newToken } from '../support/accessing.js';
import { ManualClock } from '../support/registry-admin.js';

const OPTIONS = { failures: 3, windowMs: 60_000, durationMs: 30_000 };

function aLockout(options = OPTIONS) {
  const clock = new ManualClock();
  return { clock, lockout: new Lockout({ clock, options }) };
}

describe('an address', () => {
  it('is locked by the failures of one window, and free again afterwards', () => {
    const { lockout, clock } = aLockout();
    expect([lockout.failed('x'), lockout.failed('x'), lockout.remainingMs('x')]).toEqual([false, false, 0]);
    expect([lockout.failed('x'), lockout.remainingMs('x'), lockout.lockedAddresses()]).toEqual([true, 30_000, 1]);
    expect(lockout.remainingMs('y')).toBe(0);
    clock.time += 29_999;
    expect(lockout.remainingMs('x')).toBe(1);
    clock.time += 1;
    expect([lockout.remainingMs('x'), lockout.lockedAddresses()]).toEqual([0, 0]);
    expect(lockout.failed('x')).toBe(false);
  });

  it('is not locked by failures that are far apart', () => {
    const { lockout, clock } = aLockout();
    for (let i = 0; i < 20; i += 1) {
      expect(lockout.failed('x')).toBe(false);
      clock.time += 30_001;
    }
  });

  it('is never locked when that is switched off', () => {
    const { lockout } = aLockout({ ...OPTIONS, failures: 0 });
    for (let i = 0; i < 100; i += 1) expect(lockout.failed('x')).toBe(false);
  });

  it('is one of a bounded number that is kept', () => {
    const { lockout } = aLockout({ ...OPTIONS, failures: 1 });
    for (let i = 0; i < 10_500; i += 1) lockout.failed(`a${i}`);
    expect(lockout.lockedAddresses()).toBe(10_000);
    expect([lockout.remainingMs('a0'), lockout.remainingMs('a10499')]).toEqual([0, 30_000]);
  });
});

describe('a caller from a locked address', () => {
  const rubbish = (address?: string) => knock(`ec_${'a'.repeat(43)}`, address);

  async function locked() {
    const setting = anAccess('a-configured-token', OPTIONS);
    const { access } = setting;
    const actor = { name: 'x', requestId: null };
    const used = (await access.create(actor, newToken({ name: 'used' }))).secret;
    const fresh = (await access.create(actor, newToken({ name: 'fresh' }))).secret;
    await access.authenticate(knock(used));
    for (let i = 0; i < 3; i += 1) {
      await expect(access.authenticate(rubbish())).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    }
    return { ...setting, used, fresh };
  }

  it('is refused without asking the store, whatever the token', async () => {
    const { access, tokens, fresh, refusals, audit } = await locked();
    const { lookups } = tokens;
    for (const call of [rubbish(), knock(fresh), knock('a-configured-token'), { ...knock(null), presented: false }]) {
      await expect(access.authenticate(call)).rejects.toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 30 });
    }
    expect(tokens.lookups).toBe(lookups);
    expect(refusals).toEqual(['unknown', 'unknown', 'unknown', 'locked', 'locked', 'locked', 'locked']);
    expect(audit.records.filter(({ action }) => action === 'access.locked')).toMatchObject([
      { actor: 'system', subjectKind: 'address', subjectId: knock(null).address, detail: { forMs: 30_000 } },
    ]);
  });

  it('is let in with a token that was good from there a short while ago', async () => {
    const { access, used } = await locked();
    expect(await access.authenticate(knock(used))).toMatchObject({ name: 'token:used' });
  });

  it('is let in from another address', async () => {
    const { access, fresh } = await locked();
    expect(await access.authenticate(knock(fresh, '192.0.2.2'))).toMatchObject({ name: 'token:fresh' });
  });

  it('is let in again when the time is over', async () => {
    const { access, clock, fresh } = await locked();
    clock.time += OPTIONS.durationMs;
    expect(await access.authenticate(knock(fresh))).toMatchObject({ name: 'token:fresh' });
  });

  it('is refused with a token that was revoked meanwhile', async () => {
    const { access, tokens, used, clock } = await locked();
    await tokens.revoke(tokens.rows[0]!.token.id, clock.now());
    clock.time += 1_000;
    await expect(access.authenticate(knock(used))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });
});

describe('a call without a token', () => {
  it('does not lock its address', async () => {
    const { access, refusals } = anAccess(null, OPTIONS);
    for (let i = 0; i < 10; i += 1) {
      await expect(access.authenticate({ ...knock(null), presented: false })).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
      });
    }
    expect(new Set(refusals)).toEqual(new Set(['missing']));
  });

  it('does not lock it either with a token that has ended', async () => {
    const { access, clock, tokens, refusals } = anAccess(null, OPTIONS);
    const actor = { name: 'x', requestId: null };
    const expired = (await access.create(actor, newToken({ name: 'a', expiresAt: clock.now() + 1 }))).secret;
    const revoked = (await access.create(actor, newToken({ name: 'b' }))).secret;
    clock.time += 1;
    await access.revoke(actor, tokens.rows[1]!.token.id);
    for (let i = 0; i < 5; i += 1) {
      for (const token of [expired, revoked])
        await expect(access.authenticate(knock(token))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    }
    expect(new Set(refusals)).toEqual(new Set(['expired', 'revoked']));
  });

  it('locks it when it presents what cannot be one', async () => {
    const { access } = anAccess(null, OPTIONS);
    for (let i = 0; i < 3; i += 1) await access.authenticate(knock(null)).catch(() => undefined);
    await expect(access.authenticate(knock(null))).rejects.toMatchObject({ code: 'RATE_LIMITED' });
  });
});

describe('a token of a node', () => {
  it('ends with its node', async () => {
    const { access, registry, tokens, clock } = anAccess();
    const { secret } = await access.create({ name: 'x', requestId: null }, newToken({ name: 'a', nodeCode: 'A' }));
    expect(await access.authenticate(knock(secret))).toEqual({ name: 'token:a', role: 'viewer', nodeCode: 'A' });
    registry.nodeCodes.delete('A');
    await expect(access.authenticate(knock(secret))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    // As deleting the node does; then a node gets the same code within the second for which tokens are remembered.
    await tokens.revoke(tokens.rows[0]!.token.id, clock.now());
    registry.nodeCodes.add('A');
    await expect(access.authenticate(knock(secret))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('is not made for a node that is not registered', async () => {
    const { access } = anAccess();
    const made = access.create({ name: 'x', requestId: null }, newToken({ name: 'a', nodeCode: 'NONE' }));
    await expect(made).rejects.toMatchObject({ code: 'INVALID_PARAM', fields: [{ path: 'nodeCode' }] });
  });
});
