import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { CallbackAddresses } from '../core/ports.js';
import { classify, isWithin, type AddressClass, type ClassifiedAddress, type IpAddress } from './address-class.js';

export interface AddressRules {
  /** `development` lets loopback and private addresses be called, `production` public ones only. */
  addresses: 'development' | 'production';
  /** Networks that may be called besides, such as `10.1.0.0/16`; without a length it is that one address. */
  allowedNetworks: readonly string[];
  /** Networks that are never called, whatever else is allowed. */
  deniedNetworks: readonly string[];
}

interface Network {
  text: string;
  range: [IpAddress, number];
}

const OPEN_IN: Record<AddressRules['addresses'], ReadonlySet<AddressClass>> = {
  development: new Set(['public', 'loopback', 'private']),
  production: new Set(['public']),
};

/** Nothing that listens has such an address; 0.0.0.0 is another way to write 127.0.0.1. */
const NEVER = new Set<AddressClass>(['unspecified', 'multicast', 'broadcast']);

const MAPPED = ipaddr.parseCIDR('::ffff:0:0/96');

const NAMES: Record<AddressClass, string> = {
  public: 'a public address',
  loopback: 'a loopback address',
  private: 'a private address',
  'link-local': 'a link-local address',
  metadata: 'the address of a cloud’s metadata service',
  unspecified: 'an unspecified address',
  multicast: 'a multicast address',
  broadcast: 'a broadcast address',
  reserved: 'a reserved address',
};

/**
 * Which addresses the centre calls (operations page, Which addresses are called). Denied networks win over all, allowed
 * ones over the mode. A metadata service is opened only by a network of its one address, so that no wide network
 * opens it by accident.
 */
export class AddressPolicy implements CallbackAddresses {
  readonly #mode: AddressRules['addresses'];
  readonly #allowed: Network[];
  readonly #denied: Network[];

  /** @throws Error for a network that is none. */
  constructor({ addresses, allowedNetworks, deniedNetworks }: AddressRules) {
    this.#mode = addresses;
    this.#allowed = allowedNetworks.map(networkOf);
    this.#denied = deniedNetworks.map(networkOf);
  }

  /** Why the centre makes no connection to `address`: the end of a sentence that begins with it. Null when it does. */
  refusal(address: string): string | null {
    let found: ClassifiedAddress[];
    try {
      found = classify(address);
    } catch {
      return 'is no IP address';
    }
    for (const one of found) {
      const reason = this.#refusalOf(one);
      if (reason !== null) return one === found[0] ? reason : `carries ${one.address.toString()}, which ${reason}`;
    }
    return null;
  }

  refusalOf(url: string): string | null {
    if (!URL.canParse(url)) return null;
    const host = hostOf(new URL(url));
    if (isIP(host) === 0) return null;
    const reason = this.refusal(host);
    return reason === null ? null : `${host} ${reason}`;
  }

  #refusalOf({ address, class: found }: ClassifiedAddress): string | null {
    const denied = this.#denied.find(({ range }) => isWithin(address, range));
    if (denied !== undefined) return `lies in ${denied.text}, which callback.deniedNetworks refuses`;
    if (OPEN_IN[this.#mode].has(found)) return null;
    const is = `is ${NAMES[found]}`;
    if (NEVER.has(found)) return `${is}: no option opens it`;
    if (this.#allowed.some(({ range }) => isWithin(address, range) && (found !== 'metadata' || isSingle(range)))) {
      return null;
    }
    const opened = found === 'metadata' ? `${address.toString()} alone` : 'a network that has it';
    return `${is}, refused with callback.addresses ${this.#mode}; ${opened} in callback.allowedNetworks opens it`;
  }
}

/** The host of a url as `net` and a resolver take it. */
function hostOf(url: URL): string {
  return url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
}

/** @throws Error when it is no network. An IPv4-mapped one is the IPv4 network inside, because that is what is judged. */
function networkOf(text: string): Network {
  const whole = ipaddr.isValid(text) ? ipaddr.parse(text) : null;
  const [address, length] = whole === null ? ipaddr.parseCIDR(text) : [whole, bitsOf(whole)];
  if (address.kind() === 'ipv4' || length < 96 || !isWithin(address, MAPPED)) return { text, range: [address, length] };
  return { text, range: [ipaddr.process(address.toString()), length - 96] };
}

function isSingle([address, length]: [IpAddress, number]): boolean {
  return length === bitsOf(address);
}

function bitsOf(address: IpAddress): number {
  return address.kind() === 'ipv4' ? 32 : 128;
}
