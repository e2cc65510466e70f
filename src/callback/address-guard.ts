import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import type { AddressPolicy } from './address-policy.js';
import { NameLookups, type Resolve } from './name-lookups.js';

export interface AddressGuardOptions {
  policy: AddressPolicy;
  /** Longest time until a connection stands, the look-up included. */
  timeoutMs: number;
  /** `dns.lookup` by default. */
  resolve?: Resolve | undefined;
  /** Threads of the process that serve look-ups. */
  lookupThreads?: number | undefined;
}

/** The host of a url leads to no address that may be called. Its message is a sentence without a period. */
export class AddressRefused extends Error {}

/**
 * Makes connections for undici, to addresses only that the policy lets be called. A name is looked up once per connection,
 * or once for several that ask at a time; every address that it has is checked, and the connection goes to one of those
 * that passed, so that a name which answers differently the next time (DNS rebinding) gains nothing. Without any the
 * connection fails with `AddressRefused`, and nothing is sent. A kept connection is not checked again: it leads where it led.
 */
export function guardedConnector({
  policy,
  timeoutMs,
  resolve,
  lookupThreads,
}: AddressGuardOptions): buildConnector.connector {
  const lookups = new NameLookups({ timeoutMs, resolve, threads: lookupThreads });
  const connect = buildConnector({ timeout: timeoutMs, lookup: guardedLookup(policy, lookups) });
  return (options, callback) => {
    // Node looks up names only; a host that is an address goes straight to the kernel.
    const reason = isIP(options.hostname) === 0 ? null : policy.refusal(options.hostname);
    if (reason === null) {
      connect(options, callback);
      return;
    }
    process.nextTick(callback, new AddressRefused(`${options.hostname} ${reason}`), null);
  };
}

function guardedLookup(policy: AddressPolicy, lookups: NameLookups): LookupFunction {
  return (hostname, options, callback) => {
    lookups.find(hostname, options, (error, found) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      const { allowed, refused } = checked(policy, found);
      const [first] = allowed;
      if (first === undefined) callback(refusalOf(hostname, refused), []);
      else if (options.all === true) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

function checked(policy: AddressPolicy, found: LookupAddress[]): { allowed: LookupAddress[]; refused: string[] } {
  const allowed: LookupAddress[] = [];
  const refused: string[] = [];
  for (const one of found) {
    const reason = policy.refusal(one.address);
    if (reason === null) allowed.push(one);
    else refused.push(`${one.address}, which ${reason}`);
  }
  return { allowed, refused };
}

function refusalOf(hostname: string, refused: string[]): AddressRefused {
  const [first] = refused;
  if (first === undefined) return new AddressRefused(`${hostname} has no address`);
  const more = refused.length === 1 ? '' : ` (and to ${refused.length - 1} more that are refused)`;
  return new AddressRefused(`${hostname} leads to ${first}${more}`);
}
