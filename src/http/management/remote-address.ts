import type { Request } from 'express';
import ipaddr from 'ipaddr.js';

/** Of an IPv6 address its holder chooses the rest freely. */
const IPV6_PREFIX_BYTES = 8;

/**
 * Where a request comes from, as far as somebody can be locked out by it: an IPv4 address, or the /64 of an IPv6 one. It is
 * the peer of the connection, or what trusted proxies say (`http.trustedProxies`).
 */
export function remoteAddress(req: Pick<Request, 'ip'>): string {
  return addressGroup(req.ip ?? '');
}

/** The address or network that stands for `address`; what is no address stands for itself. */
export function addressGroup(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  const network = parsed.toByteArray().fill(0, IPV6_PREFIX_BYTES);
  return `${ipaddr.fromByteArray(network).toString()}/64`;
}
