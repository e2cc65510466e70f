import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Flow, type FlowListener, type FlowNode, type FlowType } from '../support/flow.js';

const KIND = 'the embedded broker and SQLite';
/** Every failed call would open a circuit breaker for longer than any of these tests. */
const TOUCHY_BREAKER = {
  EVENT_CENTER_DELIVERY_BREAKER_THRESHOLD: '1',
  EVENT_CENTER_DELIVERY_BREAKER_PROBE_MS: '3600000',
};
const NAMES = pathToFileURL(join(__dirname, '../support/names.mjs')).href;
const METADATA = [
  'http://169.254.169.254/latest/meta-data/',
  'http://2852039166/',
  'http://0xa9.0xfe.0xa9.0xfe/',
  'http://0251.0376.0251.0376/',
  'http://169.254.43518/',
  'http://[::ffff:169.254.169.254]/',
  'http://[64:ff9b::a9fe:a9fe]/',
  'http://[2002:a9fe:a9fe::1]/',
  'http://[fd00:ec2::254]/',
  'http://100.100.100.200/',
];

let flow: Flow;
let node: FlowNode;
let type: FlowType;

async function start(environment: Record<string, string>): Promise<void> {
  flow = await Flow.start(KIND, environment);
  node = await flow.node();
  type = await flow.eventType();
}

const at = (host: string, path = '/l') => `http://${host}:${flow.stub.port}${path}`;

/** What the API answers to the registration of a url. */
async function registering(url: string): Promise<{ status: number; field: string; message: string }> {
  const fields = { name: 'L', nodeCode: node.appId, eventTypeId: type.id, url };
  const { status, body } = await flow.client.call('POST', '/listeners', fields);
  const [field] = (body.errors ?? []) as { path: string; message: string }[];
  return { status, field: field?.path ?? '', message: field?.message ?? '' };
}

/** Sends an event to a listener of its own type. */
async function sendTo(url: string): Promise<{ eventId: string; listener: FlowListener }> {
  const own = await flow.eventType();
  const listener = await flow.listener(node, own, { url });
  return { eventId: await flow.send(own), listener };
}

async function deliveryTo(url: string, state: string): Promise<any> {
  const { eventId, listener } = await sendTo(url);
  return flow.deliveryIn(eventId, listener, state);
}

/** A server at an address of this machine that counts its connections. */
async function counting(host: string, port: number): Promise<{ server: Server; connections: () => number }> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return { server, connections: () => connections };
}

describe('a centre in development', () => {
  let proxy: Awaited<ReturnType<typeof counting>>;

  beforeAll(async () => {
    proxy = await counting('127.0.0.1', 0);
    const url = `http://127.0.0.1:${(proxy.server.address() as AddressInfo).port}`;
    const proxies = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'];
    await start({
      ...Object.fromEntries(proxies.map((name) => [name, url])),
      NODE_USE_ENV_PROXY: '1',
      ...TOUCHY_BREAKER,
    });
  });

  afterAll(async () => {
    await flow.close();
    await new Promise((resolve) => proxy.server.close(resolve));
  });

  it('calls listeners of this machine without any option, and not through the proxies of its environment', async () => {
    for (const host of ['127.0.0.1', 'localhost']) await deliveryTo(at(host), 'succeeded');
    expect(flow.stub.calls('/l')).toHaveLength(2);
    expect(proxy.connections()).toBe(0);
  });

  it.each(METADATA)('refuses to register the metadata service of a cloud as %s', async (url) => {
    expect(await registering(url)).toEqual({
      status: 422,
      field: 'url',
      message: expect.stringContaining('is the address of a cloud’s metadata service'),
    });
  });

  it.each([
    'http://0.0.0.0/',
    'http://0/',
    'http://[::]/',
    'http://169.254.1.1/',
    'http://[fe80::1]/',
    'http://224.0.0.1/',
  ])('refuses to register %s', async (url) => {
    expect(await registering(url)).toMatchObject({ status: 422, field: 'url' });
  });

  it('does not follow a redirect to a metadata service, nor to anything else', async () => {
    for (const [path, location] of [
      ['/to-metadata', 'http://169.254.169.254/latest/meta-data/'],
      ['/to-itself', at('127.0.0.1', '/redirected')],
    ] as const) {
      flow.stub.answer(path, { status: 302, headers: { location } });
      const { attempts } = await deliveryTo(at('127.0.0.1', path), 'failed');
      expect(attempts).toHaveLength(3);
      for (const { status, error } of attempts) {
        expect([status, error]).toEqual([302, 'answered 302: redirects are not followed']);
      }
    }
    expect(flow.stub.calls('/redirected')).toEqual([]);
  });
});

describe('a centre in production', () => {
  beforeAll(() => start({ NODE_ENV: 'production', ...TOUCHY_BREAKER }));
  afterAll(() => flow.close());

  it.each([
    ...[
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f.1',
      '0177.0.0.1',
      '127.0.0.1.',
      '[::1]',
      '[::ffff:7f00:1]',
      '[::127.0.0.1]',
    ],
    ...[
      '10.0.0.1',
      '172.16.0.1',
      '192.168.1.1',
      '100.64.0.1',
      '[fd12::1]',
      '[64:ff9b::a00:1]',
      '198.18.0.1',
      '240.0.0.1',
    ],
  ])('refuses to register or to change to http://%s/, and names the option that would open it', async (host) => {
    const url = `http://${host}/`;
    const refused = {
      status: 422,
      field: 'url',
      message: expect.stringContaining('in callback.allowedNetworks opens it'),
    };
    expect(await registering(url)).toEqual(refused);
    const { id } = await flow.listener(node, await flow.eventType(), { url: 'http://listener.example/' });
    const { status, body } = await flow.client.call('PATCH', `/listeners/${id}`, { url });
    expect({ status, field: body.errors[0].path, message: body.errors[0].message }).toEqual(refused);
  });

  it('registers names and public addresses', async () => {
    for (const url of ['https://listener.example/x', 'http://93.184.215.14/', 'http://[2606:4700::1111]/']) {
      await flow.listener(node, await flow.eventType(), { url });
    }
  });

  it('makes no connection to a name that leads inside, neither in deliveries nor in tests, and says why', async () => {
    const why =
      'the call was not sent: localhost leads to 127.0.0.1, which is a loopback address, refused with callback.addresses ' +
      'production; a network that has it in callback.allowedNetworks opens it';
    const { eventId, listener } = await sendTo(at('localhost'));
    const { attempts, lastError } = await flow.deliveryIn(eventId, listener, 'failed');
    expect(lastError).toBe(why);
    // Each attempt says so: the circuit breaker, which one failed call opens here, has no part in it.
    expect(attempts.map(({ error }: { error: string }) => error)).toEqual([why, why, why]);
    const test = await flow.client.must('POST', `/listeners/${listener.id}/test`);
    expect(test).toMatchObject({ ok: false, status: null, error: why, response: null });
    expect(flow.stub.connections.made).toBe(0);
  });
});

describe('a listener of this machine, after the options were changed', () => {
  beforeAll(() => start({}));
  afterAll(() => flow.close());

  const restart = async (environment: Record<string, string>): Promise<void> => {
    await flow.centre.stop();
    await flow.startCentre(environment);
  };

  it('is called no more, can be changed all the same, and is called by a retry once its network is allowed', async () => {
    const listener = await flow.listener(node, type, {
      url: at('127.0.0.1'),
      retry: { delaysMs: [200], maxAttempts: 2 },
    });
    await flow.settled(await flow.send(type));
    expect(flow.stub.calls('/l')).toHaveLength(1);

    await restart({ NODE_ENV: 'production' });
    const { made } = flow.stub.connections;
    const eventId = await flow.send(type);
    const failed = await flow.deliveryIn(eventId, listener, 'failed');
    expect(failed.lastError).toMatch(/^the call was not sent: 127\.0\.0\.1 is a loopback address, /);
    expect(flow.stub.connections.made).toBe(made);
    await flow.client.must('PATCH', `/listeners/${listener.id}`, { enabled: false });
    await flow.client.must('PATCH', `/listeners/${listener.id}`, { enabled: true, note: 'moved soon' });

    await restart({ NODE_ENV: 'production', EVENT_CENTER_CALLBACK_ALLOWED_NETWORKS: '127.0.0.0/8' });
    await flow.client.must('POST', `/deliveries/${eventId}/${listener.id}/retry`);
    await flow.deliveryIn(eventId, listener, 'succeeded');
    expect(flow.callsOf(eventId)).toHaveLength(1);

    await restart({
      EVENT_CENTER_CALLBACK_ALLOWED_NETWORKS: '127.0.0.0/8',
      EVENT_CENTER_CALLBACK_DENIED_NETWORKS: '127.0.0.1',
    });
    const denied = await flow.deliveryIn(await flow.send(type), listener, 'failed');
    expect(denied.lastError).toBe(
      'the call was not sent: 127.0.0.1 lies in 127.0.0.1, which callback.deniedNetworks refuses',
    );
  });
});

describe('a name whose address changes', () => {
  let victim: Awaited<ReturnType<typeof counting>>;

  beforeAll(async () => {
    await start({
      NODE_OPTIONS: `--import ${NAMES}`,
      EVENT_CENTER_TEST_NAMES: JSON.stringify({
        'rebinding.test': [['127.0.0.1'], ['127.0.0.2']],
        'several.test': [['127.0.0.2', '127.0.0.1', '127.0.0.2']],
        'inside.test': [['127.0.0.2']],
      }),
      EVENT_CENTER_CALLBACK_ADDRESSES: 'production',
      EVENT_CENTER_CALLBACK_ALLOWED_NETWORKS: '127.0.0.1',
    });
    victim = await counting('127.0.0.2', flow.stub.port);
  });

  afterAll(async () => {
    await flow.close();
    await new Promise((resolve) => victim.server.close(resolve));
  });

  it('between two look-ups (DNS rebinding) is connected to at what was checked, and never at the other', async () => {
    const own = await flow.eventType();
    const listener = await flow.listener(node, own, { url: at('rebinding.test', '/rebinding') });
    const states: string[] = [];
    for (let count = 0; count < 12; count += 1) {
      // The next call needs a new connection, and with it a look-up.
      flow.stub.cutConnections();
      const { state, attempts } = await flow.deliveryIn(await flow.send(own), listener, 'succeeded', 'failed');
      states.push(state);
      for (const { error } of attempts as { error: string | null }[]) {
        if (error !== null) expect(error).toMatch(/rebinding\.test leads to 127\.0\.0\.2, which is a loopback address/);
      }
    }
    expect(states).toEqual(states.map(() => 'succeeded'));
    expect(flow.stub.calls('/rebinding')).toHaveLength(states.length);
    expect(victim.connections()).toBe(0);
  });

  it('is called at the allowed one of several, and not at all without one', async () => {
    await deliveryTo(at('several.test', '/several'), 'succeeded');
    const { lastError } = await deliveryTo(at('inside.test', '/inside'), 'failed');
    expect(lastError).toContain('inside.test leads to 127.0.0.2, which is a loopback address');
    expect(flow.stub.calls('/several')).toHaveLength(1);
    expect(victim.connections()).toBe(0);
  });
});
