import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { LookupAddress } from 'node:dns';
import {
  connect,
  createServer,
  getDefaultAutoSelectFamily,
  setDefaultAutoSelectFamily,
  type AddressInfo,
  type Server,
} from 'node:net';
import { AddressPolicy, type AddressRules } from '../../src/callback/address-policy.js';
import { createListenerCaller } from '../../src/callback/listener-caller.js';
import type { Resolve } from '../../src/callback/name-lookups.js';
import type { Listener } from '../../src/core/model.js';
import type { ListenerAnswer, ListenerCaller } from '../../src/core/ports.js';
import { ListenerStub } from '../support/listener-stub.js';
import { aListener, aNode, anEvent } from '../support/registry-fixtures.js';
import { until } from '../support/until.js';

const event = anEvent('00000000-0000-4000-8000-000000000001');

let stub: ListenerStub;
/** Listens at 127.0.0.2, at the stub's port, and must see no connection. */
let victim: Server;
let victimConnections: number;
const callers: ListenerCaller[] = [];

beforeEach(async () => {
  stub = await ListenerStub.start();
  victimConnections = 0;
  victim = createServer((socket) => {
    victimConnections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => victim.listen(stub.port, '127.0.0.2', resolve));
});

afterEach(async () => {
  await Promise.all(callers.splice(0).map((caller) => caller.close()));
  await new Promise((resolve) => victim.close(resolve));
  await stub.close();
});

/** Answers with one list after the other, the last one for ever, and counts how often it is asked. */
function resolver(...answers: string[][]): Resolve & { asked: string[] } {
  const asked: string[] = [];
  const resolve: Resolve = (hostname, _, callback) => {
    const addresses = answers[Math.min(asked.length, answers.length - 1)] ?? [];
    asked.push(hostname);
    const found = addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }));
    process.nextTick(callback, null, found);
  };
  return Object.assign(resolve, { asked });
}

function aCaller(rules: Partial<AddressRules>, resolve?: Resolve): ListenerCaller {
  const addresses = new AddressPolicy({ addresses: 'production', allowedNetworks: [], deniedNetworks: [], ...rules });
  const caller = createListenerCaller({
    clock: Date,
    userAgent: 'event-center/test',
    addresses,
    ...(resolve === undefined ? {} : { resolve }),
  });
  callers.push(caller);
  return caller;
}

function call(caller: ListenerCaller, url: string, over: Partial<Listener> = {}): Promise<ListenerAnswer> {
  return caller.call({ event, listener: aListener('L', { url, ...over }), node: aNode('A'), attempt: 1 });
}

const at = (host: string, path = '/l') => `http://${host}:${stub.port}${path}`;
/** Lets the stub be called as if it were public, and nothing else of this machine. */
const OPEN: Partial<AddressRules> = { allowedNetworks: ['127.0.0.1'] };
const REFUSED = { kind: 'refused', status: null, response: null, retryAfterMs: null };

describe('a host that is an address', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['127.1', '127.0.0.1'],
    ['2130706433', '127.0.0.1'],
    ['0x7f000001', '127.0.0.1'],
    ['0x7f.1', '127.0.0.1'],
    ['0177.0.0.1', '127.0.0.1'],
    ['１２７.０.０.１', '127.0.0.1'],
    ['127。0。0。1', '127.0.0.1'],
    ['1.1.1.1@127.0.0.1', '127.0.0.1'],
    ['0', '0.0.0.0'],
    ['0.0.0.0', '0.0.0.0'],
    ['[::]', '::'],
    ['[::ffff:127.0.0.1]', '::ffff:7f00:1'],
    ['[::ffff:7f00:1]', '::ffff:7f00:1'],
    ['[0:0:0:0:0:ffff:127.0.0.1]', '::ffff:7f00:1'],
  ])('is not connected to when it is refused: %s', async (host, address) => {
    const answer = await call(aCaller({}), at(host));
    expect(answer).toMatchObject(REFUSED);
    expect(answer.error).toMatch(
      new RegExp(
        `^the call was not sent: ${address.replaceAll('.', '\\.')} (is|carries 127\\.0\\.0\\.1, which is) an? `,
      ),
    );
    expect(stub.connections.made).toBe(0);
  });

  it.each(['127.0.0.1', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]'])(
    'is called when it is allowed: %s',
    async (host) => {
      expect(await call(aCaller(OPEN), at(host))).toMatchObject({ kind: 'success' });
      expect(stub.calls()).toHaveLength(1);
    },
  );

  it('is not looked up', async () => {
    const resolve = resolver(['127.0.0.1']);
    await call(aCaller(OPEN, resolve), at('127.0.0.2'));
    await call(aCaller(OPEN, resolve), at('127.0.0.1'));
    expect(resolve.asked).toEqual([]);
    expect(victimConnections).toBe(0);
  });
});

describe('a host that is a name', () => {
  it('is not connected to when it leads to refused addresses only, and the answer names the first', async () => {
    const caller = aCaller({}, resolver(['127.0.0.1', '10.0.0.1', '::1']));
    const answer = await call(caller, at('listener.test'));
    expect(answer).toMatchObject({
      ...REFUSED,
      error:
        'the call was not sent: listener.test leads to 127.0.0.1, which is a loopback address, refused with callback.addresses production; ' +
        'a network that has it in callback.allowedNetworks opens it (and to 2 more that are refused)',
    });
    expect(stub.connections.made).toBe(0);
  });

  it.each([
    ['before', ['127.0.0.2', '127.0.0.1']],
    ['after', ['127.0.0.1', '127.0.0.2']],
  ])('with a refused address %s an allowed one is connected to the latter', async (_, addresses) => {
    expect(await call(aCaller(OPEN, resolver(addresses)), at('listener.test'))).toMatchObject({ kind: 'success' });
    expect(victimConnections).toBe(0);
  });

  it('never falls back to a refused address when the allowed one does not answer', async () => {
    const { port } = stub;
    await stub.close();
    const caller = aCaller(OPEN, resolver(['127.0.0.2', '127.0.0.1', '127.0.0.2']));
    const answer = await call(caller, `http://listener.test:${port}/l`);
    expect(answer.kind).toBe('unreachable');
    expect(answer.error).toContain(`connect ECONNREFUSED 127.0.0.1:${port}`);
    expect(victimConnections).toBe(0);
    stub = await ListenerStub.start(port);
  });

  it('that answers differently the next time (DNS rebinding) is connected to what was checked, after one look-up', async () => {
    const resolve = resolver(['127.0.0.1'], ['127.0.0.2']);
    const caller = aCaller(OPEN, resolve);
    expect(await call(caller, at('rebinding.test'))).toMatchObject({ kind: 'success' });
    expect(resolve.asked).toEqual(['rebinding.test']);

    stub.cutConnections();
    await until('the connection is gone', () => stub.connections.open === 0);
    const second = await call(caller, at('rebinding.test'));
    expect(second).toMatchObject(REFUSED);
    expect(second.error).toContain('rebinding.test leads to 127.0.0.2, which is a loopback address');
    expect(resolve.asked).toHaveLength(2);
    expect([stub.connections.made, victimConnections]).toEqual([1, 0]);
  });

  it('is checked too where Node tries one address only', async () => {
    const before = getDefaultAutoSelectFamily();
    setDefaultAutoSelectFamily(false);
    try {
      const allowed = await call(aCaller(OPEN, resolver(['127.0.0.2', '127.0.0.1'])), at('listener.test'));
      expect(allowed).toMatchObject({ kind: 'success' });
      expect(await call(aCaller(OPEN, resolver(['127.0.0.2'])), at('listener.test'))).toMatchObject(REFUSED);
      expect(victimConnections).toBe(0);
    } finally {
      setDefaultAutoSelectFamily(before);
    }
  });

  it.each(['localhost', 'LOCALHOST'])('of this machine is checked by what it leads to: %s', async (host) => {
    expect(await call(aCaller({}), at(host))).toMatchObject(REFUSED);
    expect(stub.connections.made).toBe(0);
    expect(await call(aCaller({ addresses: 'development' }), at(host))).toMatchObject({ kind: 'success' });
  });

  it('with a dot at its end gets no further than without', async () => {
    await call(aCaller({}), at('localhost.'));
    expect(stub.connections.made).toBe(0);
  });

  it('is looked up and checked once per connection, not per call', async () => {
    const resolve = resolver(['127.0.0.1']);
    const caller = aCaller(OPEN, resolve);
    for (let count = 0; count < 20; count += 1) await call(caller, at('listener.test'));
    expect(stub.calls()).toHaveLength(20);
    expect(resolve.asked).toHaveLength(stub.connections.made);
    expect(stub.connections.made).toBeLessThan(5);
  });

  it('is looked up once for all connections that wait for it, and again for the next', async () => {
    const asked: (() => void)[] = [];
    const resolve: Resolve = (_, __, callback) => {
      asked.push(() => callback(null, [{ address: '127.0.0.1', family: 4 }]));
    };
    const caller = aCaller(OPEN, resolve);
    const calls = Array.from({ length: 19 }, () => call(caller, at('listener.test')));
    await until('it is asked for', () => asked.length > 0);
    asked[0]?.();
    for (const answer of await Promise.all(calls)) expect(answer).toMatchObject({ kind: 'success' });
    expect(asked).toHaveLength(1);
    stub.cutConnections();
    await until('the connections are gone', () => stub.connections.open === 0);
    const next = call(caller, at('listener.test'));
    await until('it is asked for again', () => asked.length === 2);
    asked[1]?.();
    expect(await next).toMatchObject({ kind: 'success' });
  });

  it('that nobody knows is unreachable, as before', async () => {
    const unknown: Resolve = (hostname, _, callback) => {
      callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), []);
    };
    const answer = await call(aCaller(OPEN, unknown), at('nobody.test'));
    expect(answer).toMatchObject({ kind: 'unreachable', error: 'getaddrinfo ENOTFOUND nobody.test' });
    expect(await call(aCaller(OPEN, resolver([])), at('empty.test'))).toMatchObject({
      ...REFUSED,
      error: 'the call was not sent: empty.test has no address',
    });
  });

  it('whose look-up hangs ends within the time-out', async () => {
    const answer = await call(
      aCaller(OPEN, () => undefined),
      at('slow.test'),
      { timeoutMs: 100 },
    );
    expect(answer).toMatchObject({ kind: 'unreachable', error: 'no answer within 100 ms' });
  });
});

describe('https', () => {
  it('is refused before the first byte, and names the host to whom it may go', async () => {
    const hellos: Buffer[] = [];
    const server = createServer((socket) => {
      socket.once('data', (bytes) => {
        hellos.push(bytes);
        socket.destroy();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://listener.test:${(server.address() as AddressInfo).port}/l`;
    try {
      expect(await call(aCaller({}, resolver(['127.0.0.1'])), url)).toMatchObject(REFUSED);
      expect(hellos).toEqual([]);
      expect(await call(aCaller(OPEN, resolver(['127.0.0.1'])), url)).toMatchObject({ kind: 'unreachable' });
      expect(hellos[0]!.includes('listener.test')).toBe(true);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe('a redirect', () => {
  it.each(['http://169.254.169.254/latest/meta-data/', 'http://metadata.test/', '//127.0.0.2/'])(
    'to %s is a failure, and nothing is looked up or connected to for it',
    async (location) => {
      const connected: string[] = [];
      const note = (message: unknown): void => {
        connected.push((message as { connectParams: { hostname: string } }).connectParams.hostname);
      };
      subscribe('undici:client:beforeConnect', note);
      try {
        const resolve = resolver(['127.0.0.1']);
        stub.answer('/l', { status: 302, headers: { location } });
        const answer = await call(aCaller({ addresses: 'development' }, resolve), at('listener.test'));
        expect(answer).toMatchObject({
          kind: 'refused',
          status: 302,
          error: 'answered 302: redirects are not followed',
        });
        expect(connected).toEqual(['listener.test']);
        expect(resolve.asked).toEqual(['listener.test']);
        expect(victimConnections).toBe(0);
      } finally {
        unsubscribe('undici:client:beforeConnect', note);
      }
    },
  );
});

it('the victim of these tests would see a connection', async () => {
  const socket = connect(stub.port, '127.0.0.2').resume();
  await until('it is seen', () => victimConnections === 1);
  socket.destroy();
});
