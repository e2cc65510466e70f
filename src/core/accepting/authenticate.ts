import { randomBytes } from 'node:crypto';
import { livePreviousKeys } from '../registry/app-key.js';
import { EventCenterError } from '../errors.js';
import { BUILT_IN_NODE_CODE, type Node, type SignatureAlgorithm, type UnreadableSecret } from '../model.js';
import type { Clock } from '../ports.js';
import type { RegistryView } from '../registry/registry.js';
import { isUnreadable } from '../registry/unreadable-secret.js';

/** A call that says which application makes it, with the means to check its signature. */
export interface SignedCall {
  appId: string | null;
  /** The signed timestamp as text. */
  ts: string | null;
  /** The signature as the call has it; empty when it has none. */
  sign: string;
  /** Whether the call's signature is right under a key. Costs the same for every key. */
  isSignedWith(key: string, algorithm: SignatureAlgorithm): boolean;
  /** Why the body cannot be read, which means that no signature can be checked; else null. */
  unreadable: EventCenterError | null;
}

export interface AuthenticatorDeps {
  registry: RegistryView;
  clock: Clock;
  options: {
    /** How far `ts` may be from now, either direction. */
    clockSkewMs: number;
    /** False answers BAD_SIGNATURE for an unknown application too. */
    revealUnknownApp: boolean;
  };
}

const TIMESTAMP = /^\d{1,16}$/;

/** Finds out which application makes a signed call, in the order of checks of the protocol page, section 2. */
export class Authenticator {
  readonly #deps: AuthenticatorDeps;
  /** What an unknown application, or one whose key cannot be read, is verified with: it costs the same and never fits. */
  readonly #dummyKey = randomBytes(20).toString('base64');

  constructor(deps: AuthenticatorDeps) {
    this.#deps = deps;
  }

  /**
   * The enabled node that made the call.
   * @throws TIMESTAMP_EXPIRED, UNKNOWN_APP, BAD_SIGNATURE, the call's `unreadable`; UNAVAILABLE without a registry.
   */
  async authenticate(call: SignedCall): Promise<Node> {
    if (call.ts === null || !TIMESTAMP.test(call.ts)) {
      throw new EventCenterError('TIMESTAMP_EXPIRED', 'ts: expected ms since the epoch as a query parameter');
    }
    const { clock, options } = this.#deps;
    const node = await this.#findNode(call.appId);
    const isRight = this.#isSigned(call, node);
    if (!isRight && !options.revealUnknownApp) await this.#askAsForUnknown(call.appId);
    if (node === null && options.revealUnknownApp) {
      throw new EventCenterError('UNKNOWN_APP', 'appId: expected the code of a registered, enabled node');
    }
    if (call.unreadable !== null) throw call.unreadable;
    if (node === null || !isRight) {
      throw new EventCenterError(
        'BAD_SIGNATURE',
        'sign: the signature does not match the request and the key of the application',
      );
    }
    const distanceMs = Math.abs(clock.now() - Number(call.ts));
    if (distanceMs > options.clockSkewMs) {
      throw new EventCenterError(
        'TIMESTAMP_EXPIRED',
        `ts: expected at most ${String(options.clockSkewMs)} ms from the time here, found ${String(distanceMs)} ms`,
      );
    }
    return node;
  }

  async #findNode(appId: string | null): Promise<Node | null> {
    if (appId === null || appId === '' || appId === BUILT_IN_NODE_CODE) return null;
    const { registry } = this.#deps;
    const node = registry.current().node(appId) ?? (await registry.refreshed()).node(appId);
    return node?.enabled === true ? node : null;
  }

  /** The store was asked for an application that nobody knows. It is for a known one too, so that the time tells nothing. */
  async #askAsForUnknown(appId: string | null): Promise<void> {
    const { registry } = this.#deps;
    if (appId !== null && registry.current().node(appId) !== null) await registry.refreshed();
  }

  #isSigned(call: SignedCall, node: Node | null): boolean {
    if (call.unreadable !== null) return false;
    if (node === null) return call.isSignedWith(this.#dummyKey, 'HmacSHA1');
    const isSignedWith = (key: string | UnreadableSecret): boolean =>
      call.isSignedWith(isUnreadable(key) ? this.#dummyKey : key, node.algorithm);
    if (isSignedWith(node.appKey)) return true;
    return livePreviousKeys(node, this.#deps.clock.now()).some(({ key }) => isSignedWith(key));
  }
}
