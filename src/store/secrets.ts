import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { EventCenterError } from '../core/errors.js';

const FORMAT = 'v1';
const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts secrets at rest with the master key (AES-256-GCM, a random nonce each). A sealed text reads
 * `v1.<key id>.<Base64url of nonce, tag and ciphertext>`: the key id tells which key it needs once there are several.
 * It opens only in the context in which it was sealed, so that it cannot be moved to another row.
 */
export class SecretBox {
  readonly #key: Buffer;
  readonly #keyId: string;

  /** @throws CONFIG_INVALID unless `masterKeyHex` is 32 bytes in hex. */
  constructor(masterKeyHex: string) {
    if (!/^[0-9a-fA-F]{64}$/.test(masterKeyHex)) {
      throw new EventCenterError(
        'CONFIG_INVALID',
        'the master key is wrong: expected 64 hexadecimal digits (32 bytes)',
      );
    }
    this.#key = Buffer.from(masterKeyHex, 'hex');
    this.#keyId = createHash('sha256').update('event-center key id').update(this.#key).digest('hex').slice(0, 8);
  }

  seal(text: string, context: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce).setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return `${FORMAT}.${this.#keyId}.${Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url')}`;
  }

  /** @throws CONFIG_INVALID when it was sealed under another key, changed, or sealed for another place. */
  open(sealed: string, context: string): string {
    const [format, keyId, body] = sealed.split('.');
    if (format !== FORMAT || body === undefined) throw unreadable(context, 'its form is not known');
    if (keyId !== this.#keyId)
      throw unreadable(context, `it needs another master key, with the id ${keyId}; the one given has ${this.#keyId}`);
    const bytes = Buffer.from(body, 'base64url');
    try {
      const decipher = createDecipheriv(ALGORITHM, this.#key, bytes.subarray(0, NONCE_BYTES))
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
    } catch {
      throw unreadable(context, 'it was changed, or belongs to another place');
    }
  }
}

function unreadable(context: string, why: string): EventCenterError {
  return new EventCenterError('CONFIG_INVALID', `the secret at ${context} cannot be decrypted: ${why}`);
}
