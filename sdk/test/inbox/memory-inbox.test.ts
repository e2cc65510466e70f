import { MemoryInbox } from '../../src/inbox/index.js';

const nothing = async (): Promise<void> => {};

describe('a memory inbox', () => {
  it('acts once per event and listener', async () => {
    const inbox = new MemoryInbox();
    const acted: string[] = [];
    const run = (eventId: string, listenerId?: string) =>
      inbox.run({ eventId, listenerId: listenerId ?? null }, async () => void acted.push(`${eventId}/${listenerId}`));
    expect(await run('e1', 'a')).toBe('done');
    expect(await run('e1', 'a')).toBe('repeated');
    expect(await run('e1', 'b')).toBe('done');
    expect(await run('e1')).toBe('done');
    expect(acted).toEqual(['e1/a', 'e1/b', 'e1/undefined']);
  });

  it('lets only one of two copies act at a time', async () => {
    const inbox = new MemoryInbox();
    let finish = (): void => {};
    const first = inbox.run({ eventId: 'e' }, () => new Promise<void>((resolve) => (finish = resolve)));
    expect(await inbox.run({ eventId: 'e' }, () => Promise.reject(new Error('acted twice')))).toBe('busy');
    finish();
    expect(await first).toBe('done');
    expect(await inbox.run({ eventId: 'e' }, nothing)).toBe('repeated');
  });

  it('forgets an event that failed, and rejects as it did', async () => {
    const inbox = new MemoryInbox();
    await expect(inbox.run({ eventId: 'e' }, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await inbox.run({ eventId: 'e' }, nothing)).toBe('done');
  });

  it('forgets the oldest beyond its size, what is too old, and what it is told to', async () => {
    const inbox = new MemoryInbox({ maxEntries: 2, ttlMs: 1_000 });
    for (const eventId of ['e1', 'e2', 'e3']) await inbox.run({ eventId }, nothing);
    expect(inbox.size).toBe(2);
    expect(await inbox.run({ eventId: 'e3' }, nothing)).toBe('repeated');
    expect(await inbox.run({ eventId: 'e1' }, nothing)).toBe('done');

    inbox.forget({ eventId: 'e1' });
    expect(await inbox.run({ eventId: 'e1' }, nothing)).toBe('done');

    const now = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 1_001);
    expect(await inbox.run({ eventId: 'e1' }, nothing)).toBe('done');
    now.mockRestore();
  });

  it.each([
    ['eventId', { eventId: '' }],
    ['eventId', { eventId: 'two words' }],
    ['eventId', { eventId: 'x'.repeat(65) }],
    ['listenerId', { eventId: 'e', listenerId: 'ä' }],
  ])('refuses a wrong %s', async (field, key) => {
    await expect(new MemoryInbox().run(key, nothing)).rejects.toMatchObject({ field });
  });

  it('refuses wrong options', () => {
    expect(() => new MemoryInbox({ maxEntries: 0 })).toThrow(/^maxEntries: /);
    expect(() => new MemoryInbox({ ttlMs: 0.5 })).toThrow(/^ttlMs: /);
  });
});
