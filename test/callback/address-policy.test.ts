import { BlockList } from 'node:net';
import fc from 'fast-check';
import { AddressPolicy, type AddressRules } from '../../src/callback/address-policy.js';

function aPolicy(over: Partial<AddressRules> = {}): AddressPolicy {
  return new AddressPolicy({ addresses: 'production', allowedNetworks: [], deniedNetworks: [], ...over });
}

const production = aPolicy();
const development = aPolicy({ addresses: 'development' });

/** An address and what it is called; `private` and `loopback` ones are open in development. */
const CLASSES: [kind: string, addresses: string[]][] = [
  ['loopback', ['127.0.0.1', '127.255.255.254', '::1']],
  ['private', ['10.0.0.0', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.0.1', '192.168.255.255']],
  ['private', ['100.64.0.1', '100.127.255.255', 'fc00::1', 'fdff:ffff::1', 'fec0::1', '64:ff9b:1::808:808']],
  ['link-local', ['169.254.0.1', '169.254.255.255', 'fe80::1', 'febf::1', 'fe80::1%eth0']],
  ['metadata', ['169.254.169.254', '169.254.170.2', 'fd00:ec2::254', 'fd20:ce::254', '100.100.100.200', '192.0.0.192']],
  ['metadata', ['168.63.129.16', 'fe80::a9fe:a9fe%eth0', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe']],
  ['unspecified', ['0.0.0.0', '0.1.2.3', '::', '::ffff:0.0.0.0', '::2']],
  ['multicast', ['224.0.0.1', '239.255.255.255', 'ff02::1', 'ff0e::1']],
  ['broadcast', ['255.255.255.255']],
  ['reserved', ['192.0.0.1', '192.0.2.1', '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '240.0.0.1']],
  ['reserved', ['2001:db8::1', '3fff::1', '100::1', '2001:2::1', '5f00::1', '4000::1', '1::1', 'e000::1']],
];
const PUBLIC = [
  ...[
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
  ],
  ...['169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.167.255.255', '192.169.0.0'],
  ...['198.17.255.255', '198.20.0.0', '223.255.255.255', '2606:4700::1111', '2a00:1450:4001::200e', '3ffe:ffff::1'],
  ...['::ffff:8.8.8.8', '64:ff9b::8.8.8.8', '2002:808:808::1'],
];
const named = (kind: string) =>
  kind === 'metadata' ? 'metadata service' : `a${kind === 'unspecified' ? 'n' : ''} ${kind} address`;

describe('the addresses that are called', () => {
  it.each(PUBLIC)('include %s, which is public, in either mode', (address) => {
    expect(production.refusal(address)).toBeNull();
    expect(development.refusal(address)).toBeNull();
  });

  const each = CLASSES.flatMap(([kind, addresses]) => addresses.map((address) => [kind, address] as const));

  it.each(each)('in production include no %s address such as %s', (kind, address) => {
    expect(production.refusal(address)).toContain(named(kind));
  });

  it.each(each)('in development include loopback and private ones, and no other: %s %s', (kind, address) => {
    const refusal = development.refusal(address);
    if (kind === 'loopback' || kind === 'private') expect(refusal).toBeNull();
    else expect(refusal).toContain(named(kind));
  });

  it.each(['', 'localhost', '1.2.3.4.5', '1.2.3.256', '::g', '1.2.3.4/8', '[::1]'])(
    'do not include %j, which is none',
    (text) => {
      expect(development.refusal(text)).toBe('is no IP address');
    },
  );
});

describe('an IPv4 address', () => {
  /** The registry of IANA, written a second time, for Node's own matching. */
  const special = new BlockList();
  const NETWORKS: [string, number][] = [
    ...([
      ['0.0.0.0', 8],
      ['10.0.0.0', 8],
      ['100.64.0.0', 10],
      ['127.0.0.0', 8],
      ['169.254.0.0', 16],
    ] as [string, number][]),
    ...([
      ['172.16.0.0', 12],
      ['192.0.0.0', 24],
      ['192.0.2.0', 24],
      ['192.31.196.0', 24],
    ] as [string, number][]),
    ...([
      ['192.52.193.0', 24],
      ['192.88.99.0', 24],
      ['192.168.0.0', 16],
      ['192.175.48.0', 24],
    ] as [string, number][]),
    ...([
      ['198.18.0.0', 15],
      ['198.51.100.0', 24],
      ['203.0.113.0', 24],
      ['224.0.0.0', 3],
    ] as [string, number][]),
  ];
  for (const [network, length] of NETWORKS) special.addSubnet(network, length, 'ipv4');
  special.addAddress('168.63.129.16');

  const text = (value: number) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
  const value = (address: string) => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const edges = NETWORKS.flatMap(([network, length]) => {
    const first = value(network);
    const last = first + 2 ** (32 - length) - 1;
    return [first - 1, first, last, last + 1].filter((one) => one >= 0 && one < 2 ** 32);
  });
  const anAddress = fc.oneof(fc.nat(2 ** 32 - 1), fc.constantFrom(...edges)).map(text);

  it('is public exactly when no network of the registry has it', () => {
    fc.assert(
      fc.property(anAddress, (address) => {
        expect(production.refusal(address) === null).toBe(!special.check(address));
      }),
      { numRuns: 5_000 },
    );
  });

  it('is judged the same in every IPv6 address that carries it', () => {
    const hex = (address: string) => {
      const [a, b] = [Math.floor(value(address) / 65536), value(address) % 65536];
      return `${a.toString(16)}:${b.toString(16)}`;
    };
    const inverted = (address: string) => hex(text(~value(address) >>> 0));
    fc.assert(
      fc.property(anAddress, fc.constantFrom(production, development), (address, policy) => {
        const callable = policy.refusal(address) === null;
        const forms = [
          `::ffff:${address}`,
          `::ffff:0:${hex(address)}`,
          `64:ff9b::${hex(address)}`,
          `2002:${hex(address)}:1:2::3`,
          `2001:0:808:808:0:1:${inverted(address)}`,
          `2001:0:${hex(address)}:0:1:${inverted('8.8.8.8')}`,
        ];
        // Of the lowest of these addresses two mean something else: :: and ::1.
        if (value(address) > 1) forms.push(`::${hex(address)}`);
        expect(forms.map((form) => [form, policy.refusal(form) === null])).toEqual(
          forms.map((form) => [form, callable]),
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it('is named where an IPv6 address carries it', () => {
    expect(production.refusal('64:ff9b::a00:1')).toMatch(
      /^carries 10\.0\.0\.1, which is a private address, refused with /,
    );
  });
});

describe('callback.allowedNetworks', () => {
  it('opens networks in either mode, and nothing beside them', () => {
    for (const addresses of ['development', 'production'] as const) {
      const policy = aPolicy({ addresses, allowedNetworks: ['198.18.0.0/24', '169.254.1.0/24', 'fe80::/64'] });
      expect(
        ['198.18.0.0', '198.18.0.255', '169.254.1.7', 'fe80::1%2', '::ffff:198.18.0.1'].map((one) =>
          policy.refusal(one),
        ),
      ).toEqual([null, null, null, null, null]);
      for (const address of ['198.18.1.0', '169.254.2.1', 'fe80:0:0:1::1'])
        expect(policy.refusal(address)).not.toBeNull();
    }
  });

  it('takes a single address, and an IPv4 network that is written as IPv6', () => {
    const policy = aPolicy({ allowedNetworks: ['10.1.2.3', 'fd12::7', '::ffff:192.168.0.0/112'] });
    expect(['10.1.2.3', 'fd12::7', '192.168.255.1'].map((one) => policy.refusal(one))).toEqual([null, null, null]);
    for (const address of ['10.1.2.4', 'fd12::8', '172.16.0.1']) expect(policy.refusal(address)).not.toBeNull();
  });

  it('is named in what is refused without it', () => {
    expect(production.refusal('10.0.0.1')).toBe(
      'is a private address, refused with callback.addresses production; a network that has it in callback.allowedNetworks opens it',
    );
  });

  it('opens a metadata service only when it names that one address', () => {
    const wide = ['0.0.0.0/0', '::/0', '169.254.0.0/16', '169.254.169.254/31', '100.64.0.0/10', 'fd00::/8'];
    const policy = aPolicy({ addresses: 'development', allowedNetworks: wide });
    for (const address of ['169.254.169.254', '100.100.100.200', 'fd00:ec2::254', '168.63.129.16']) {
      expect(policy.refusal(address)).toMatch(/metadata service, .*; \S+ alone in callback.allowedNetworks opens it$/);
    }
    const named_ = aPolicy({ allowedNetworks: ['169.254.169.254', 'fd00:ec2::254/128'] });
    expect(['169.254.169.254', 'fd00:ec2::254', '64:ff9b::a9fe:a9fe'].map((one) => named_.refusal(one))).toEqual([
      null,
      null,
      null,
    ]);
  });

  it('never opens what nothing can listen at', () => {
    const policy = aPolicy({ addresses: 'development', allowedNetworks: ['0.0.0.0/0', '::/0', '0.0.0.0', '::'] });
    for (const address of ['0.0.0.0', '::', '224.0.0.1', 'ff02::1', '255.255.255.255', '::ffff:0.0.0.0']) {
      expect(policy.refusal(address)).toMatch(/: no option opens it$/);
    }
  });

  it('opens an address inside of another one only by its own network', () => {
    const policy = aPolicy({ allowedNetworks: ['64:ff9b::/96', '2002::/16', '::/96'] });
    for (const address of ['64:ff9b::a00:1', '2002:a00:1::1', '::10.0.0.1']) {
      expect(policy.refusal(address)).toMatch(/^carries 10\.0\.0\.1, which is a private address/);
    }
  });
});

describe('callback.deniedNetworks', () => {
  it('wins over the mode and over what is allowed, in every way to write the address', () => {
    const rules = {
      allowedNetworks: ['10.0.0.0/8', '2606:4700::/32'],
      deniedNetworks: ['10.1.0.0/16', '8.8.8.8', '2606:4700::/32'],
    };
    for (const addresses of ['development', 'production'] as const) {
      const policy = aPolicy({ addresses, ...rules });
      expect(policy.refusal('10.2.0.1')).toBeNull();
      expect(policy.refusal('8.8.4.4')).toBeNull();
      for (const address of [
        '10.1.0.1',
        '8.8.8.8',
        '2606:4700::1',
        '::ffff:10.1.2.3',
        '64:ff9b::8.8.8.8',
        '2002:a01:1::',
      ]) {
        expect(policy.refusal(address)).toContain('which callback.deniedNetworks refuses');
      }
    }
  });

  it('denies addresses that carry others by their own network too', () => {
    const policy = aPolicy({ deniedNetworks: ['64:ff9b::/96', '::ffff:9.9.9.0/120'] });
    expect(policy.refusal('64:ff9b::8.8.8.8')).toBe('lies in 64:ff9b::/96, which callback.deniedNetworks refuses');
    expect(policy.refusal('9.9.9.9')).toBe('lies in ::ffff:9.9.9.0/120, which callback.deniedNetworks refuses');
    expect(policy.refusal('8.8.8.8')).toBeNull();
  });
});

describe('a url', () => {
  it.each([
    ['http://127.0.0.1:8080/x', '127.0.0.1'],
    ['http://127.1/', '127.0.0.1'],
    ['http://2130706433/', '127.0.0.1'],
    ['http://0x7f000001/', '127.0.0.1'],
    ['http://0x7f.1/', '127.0.0.1'],
    ['http://0177.0.0.1/', '127.0.0.1'],
    ['http://017700000001/', '127.0.0.1'],
    ['http://127.0.0.1./', '127.0.0.1'],
    ['http://１２７.０.０.１/', '127.0.0.1'],
    ['http://①②⑦.⓪.⓪.①/', '127.0.0.1'],
    ['http://127。0。0。1/', '127.0.0.1'],
    ['http://%31%32%37.0.0.1/', '127.0.0.1'],
    ['http://0/', '0.0.0.0'],
    ['http://[::1]/', '::1'],
    ['http://[0:0:0:0:0:0:0:1]/', '::1'],
    ['http://[::ffff:127.0.0.1]/', '::ffff:7f00:1'],
    ['http://[::127.0.0.1]/', '::7f00:1'],
    ['http://1.1.1.1@127.0.0.1/', '127.0.0.1'],
    ['http://1.1.1.1:80@[::1]:80/', '::1'],
    ['http://1.1.1.1\\@127.0.0.1@10.0.0.1/', null],
  ])('that is written %s is judged by its address', (url, address) => {
    if (address === null) expect(production.refusalOf(url)).toBeNull();
    else expect(production.refusalOf(url)).toMatch(new RegExp(`^${address.replaceAll('.', '\\.')} (is|carries) `));
  });

  it.each(['http://localhost/', 'https://internal.example/', 'http://8.8.8.8/', 'no url', 'http://[fe80::1%25eth0]/'])(
    'with a name, a public address or no sense is not judged: %s',
    (url) => {
      expect(production.refusalOf(url)).toBeNull();
    },
  );
});
