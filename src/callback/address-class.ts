import ipaddr from 'ipaddr.js';

export type IpAddress = ReturnType<typeof ipaddr.parse>;

/** What an address leads to. `public` is what everybody can reach; all else stays within a machine, a network or a cloud. */
export type AddressClass =
  | 'public'
  | 'loopback'
  /** Also shared (100.64.0.0/10), unique local (fc00::/7) and site-local (fec0::/10) addresses. */
  | 'private'
  | 'link-local'
  /** The metadata or credentials service of a cloud, which trusts whoever can reach it. */
  | 'metadata'
  | 'unspecified'
  | 'multicast'
  | 'broadcast'
  /** Reserved, for documentation or benchmarks, or not given to anybody. */
  | 'reserved';

/** An address, or one that it carries inside, and where that one leads. */
export interface ClassifiedAddress {
  address: IpAddress;
  class: AddressClass;
}

/** The ranges of ipaddr.js that are more than `reserved`; a range that it learns one day is `reserved` too. */
const CLASS_OF_RANGE: Readonly<Record<string, AddressClass>> = {
  unicast: 'public',
  loopback: 'loopback',
  private: 'private',
  carrierGradeNat: 'private',
  uniqueLocal: 'private',
  deprecatedSiteLocal: 'private',
  linkLocal: 'link-local',
  unspecified: 'unspecified',
  multicast: 'multicast',
  broadcast: 'broadcast',
};

/** As the clouds' manuals name them: AWS, Azure and GCP, Alibaba, Oracle, Tencent, OpenStack. */
const METADATA = new Set([
  '169.254.169.254',
  '169.254.170.2',
  '169.254.170.23',
  'fd00:ec2::254',
  'fd00:ec2::23',
  '168.63.129.16',
  'fd20:ce::254',
  '100.100.100.200',
  '192.0.0.192',
  '169.254.0.23',
  'fe80::a9fe:a9fe',
]);

/** What of IPv6 is given to networks of the internet (IANA, IPv6 global unicast). */
const GLOBAL_UNICAST = ipaddr.parseCIDR('2000::/3');

interface Carrier {
  network: [IpAddress, number];
  /** Where the IPv4 addresses stand, in bytes. */
  at: number[];
  /** Whether the last one is written with its bits inverted (RFC 4380, section 4). */
  lastInverted?: boolean;
  /** Where the address leads besides; `public` leaves it to those inside. */
  class: AddressClass;
}

/** IPv6 addresses that lead to an IPv4 address which they carry. */
const CARRIERS: readonly Carrier[] = [
  // IPv4-mapped (RFC 4291, section 2.5.5.2): the kernel connects to the IPv4 address.
  { network: ipaddr.parseCIDR('::ffff:0:0/96'), at: [12], class: 'public' },
  // IPv4-translated (RFC 2765) and NAT64 (RFC 6052): a translator on the way does.
  { network: ipaddr.parseCIDR('::ffff:0:0:0/96'), at: [12], class: 'public' },
  { network: ipaddr.parseCIDR('64:ff9b::/96'), at: [12], class: 'public' },
  // NAT64 within a network (RFC 8215), which nobody outside of it reaches.
  { network: ipaddr.parseCIDR('64:ff9b:1::/48'), at: [12], class: 'private' },
  // 6to4 (RFC 3056) and Teredo (RFC 4380): a tunnel ends there. Teredo carries its server and its client.
  { network: ipaddr.parseCIDR('2002::/16'), at: [2], class: 'public' },
  { network: ipaddr.parseCIDR('2001::/32'), at: [4, 12], lastInverted: true, class: 'public' },
  // IPv4-compatible (RFC 4291, section 2.5.5.1), given up long ago.
  { network: ipaddr.parseCIDR('::/96'), at: [12], class: 'public' },
];

/**
 * Where an address leads: itself first, then the IPv4 addresses that it carries. It may be called only when each of
 * them may.
 * @param text an IPv4 or IPv6 address, as a resolver or `URL` writes it; a zone (`%eth0`) does not matter.
 * @throws Error when it is none.
 */
export function classify(text: string): ClassifiedAddress[] {
  const address = ipaddr.parse(text);
  const carrier = isPlain(address) ? undefined : CARRIERS.find(({ network }) => isWithin(address, network));
  if (carrier === undefined) return [{ address, class: classOf(address) }];
  const inside = carried(address, carrier).map((one) => ({ address: one, class: classOf(one) }));
  return [{ address, class: carrier.class }, ...inside];
}

/** Whether an address lies in a network; never when one is IPv4 and the other IPv6. */
export function isWithin(address: IpAddress, network: [IpAddress, number]): boolean {
  return address.kind() === network[0].kind() && address.match(network);
}

/** What is no carrier although `::/96` has it: IPv4 itself, `::` and `::1`. */
function isPlain(address: IpAddress): boolean {
  return address.kind() === 'ipv4' || ['unspecified', 'loopback'].includes(address.range());
}

function carried(address: IpAddress, { at, lastInverted = false }: Carrier): IpAddress[] {
  const bytes = address.toByteArray();
  return at.map((start, index) => {
    const inverted = lastInverted && index === at.length - 1;
    const four = bytes.slice(start, start + 4);
    return ipaddr.fromByteArray(inverted ? four.map((byte) => byte ^ 0xff) : four);
  });
}

function classOf(address: IpAddress): AddressClass {
  if (METADATA.has(withoutZone(address))) return 'metadata';
  const found = CLASS_OF_RANGE[address.range()] ?? 'reserved';
  if (found === 'public' && address.kind() === 'ipv6' && !isWithin(address, GLOBAL_UNICAST)) return 'reserved';
  return found;
}

function withoutZone(address: IpAddress): string {
  return address.toString().replace(/%.*$/, '');
}
