import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { EventCenterError } from '../core/errors.js';

const FORMAT = 'v1';
const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

interface MasterKey {
  id: string;
  bytes: Buffer;
}

/**
 * Encrypts secrets at rest with a master key (AES-256-GCM, a random nonce each). A sealed text reads
 * `v1.<key id>.<Base64url of nonce, tag and ciphertext>`: the key id tells which of several keys opens it.
 * It opens only in the context in which it was sealed, so that it cannot be moved to another row.
 */
export class SecretBox {
  /** The one that seals. */
  readonly #key: MasterKey;
  readonly #keys: ReadonlyMap<string, MasterKey>;

  /**
   * @param masterKeyHex seals and opens.
   * @param previousHex only open, while the master key is being replaced.
   * @throws CONFIG_INVALID unless each is 32 bytes in hex.
   */
  constructor(masterKeyHex: string, previousHex: readonly string[] = []) {
    this.#key = masterKeyOf(masterKeyHex);
    const keys = [...previousHex.map(masterKeyOf), this.#key];
    this.#keys = new Map(keys.map((key) => [key.id, key]));
  }

  /** Id of the key that seals: a short hash, which tells nothing of the key. */
  get keyId(): string {
    return this.#key.id;
  }

  /** Id of the key that a sealed text needs; null for a text that never was one. */
  keyIdOf(sealed: string): string | null {
    const [format, keyId, body] = sealed.split('.');
    return format === FORMAT && keyId !== undefined && body !== undefined ? keyId : null;
  }

  /** The same keys, of which the one that `sealed` was sealed under seals. @throws CONFIG_INVALID when it is not among them. */
  sealingLike(sealed: string): SecretBox {
    const keyId = this.keyIdOf(sealed);
    const key = this.#keys.get(keyId ?? '');
    if (key === this.#key) return this;
    if (key === undefined) throw unreadable('the place that was named', this.#anotherKey(keyId ?? 'unknown'));
    return new SecretBox(
      key.bytes.toString('hex'),
      [...this.#keys.values()].map(({ bytes }) => bytes.toString('hex')),
    );
  }

  seal(text: string, context: string): string {
    return sealUnder(this.#key, text, context);
  }

  /** @throws CONFIG_INVALID when it was sealed under none of the keys, changed, or sealed for another place. */
  open(sealed: string, context: string): string {
    const keyId = this.keyIdOf(sealed);
    if (keyId === null) throw unreadable(context, 'its form is not known');
    const key = this.#keys.get(keyId);
    if (key === undefined) throw unreadable(context, this.#anotherKey(keyId));
    const bytes = Buffer.from(sealed.slice(sealed.lastIndexOf('.') + 1), 'base64url');
    try {
      const decipher = createDecipheriv(ALGORITHM, key.bytes, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      })
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
    } catch {
      throw unreadable(context, 'it was changed, or belongs to another place');
    }
  }

  #anotherKey(keyId: string): string {
    const given = [...this.#keys.keys()].reverse().join(', ');
    return `it needs another master key, with the id ${keyId}; the one given has ${given}`;
  }
}

function masterKeyOf(hex: string): MasterKey {
  if (!/^[0-9a-fA-F]{64}$/.test(hex)) {
    throw new EventCenterError('CONFIG_INVALID', 'the master key is wrong: expected 64 hexadecimal digits (32 bytes)');
  }
  const bytes = Buffer.from(hex, 'hex');
  return { bytes, id: createHash('sha256').update('event-center key id').update(bytes).digest('hex').slice(0, 8) };
}

function sealUnder(key: MasterKey, text: string, context: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key.bytes, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(context));
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return `${FORMAT}.${key.id}.${Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url')}`;
}

function unreadable(context: string, why: string): EventCenterError {
  return new EventCenterError('CONFIG_INVALID', `the secret at ${context} cannot be decrypted: ${why}`);
}
