import { createHash, randomFillSync } from 'node:crypto';

/** Namespace of our UUIDv5s. */
const NAMESPACE = Buffer.from('6f1b6c0c3b5e5f0e9d0b1f4a7c2e8d31', 'hex');

const POOL_BYTES = 4096;
const pool = Buffer.alloc(POOL_BYTES);
let poolOffset = POOL_BYTES;

/**
 * A new UUIDv7 (RFC 9562): sorts by creation time to the millisecond, random within it.
 * Random bytes come from a pool, because one is made for every event and every attempt.
 */
export function uuidV7(nowMs: number = Date.now()): string {
  if (poolOffset + 10 > POOL_BYTES) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  const random = pool.toString('hex', poolOffset, poolOffset + 10);
  const variant = ((pool[poolOffset + 2] as number) & 0x3f) | 0x80;
  poolOffset += 10;
  const time = nowMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-${variant.toString(16)}${random.slice(6, 8)}-${random.slice(8)}`;
}

/** The UUIDv5 (RFC 9562) of some texts in our namespace; the same texts always give the same id. */
export function uuidV5(...parts: string[]): string {
  const hash = createHash('sha1').update(NAMESPACE).update(parts.join('\0')).digest().subarray(0, 16);
  hash[6] = ((hash[6] as number) & 0x0f) | 0x50;
  hash[8] = ((hash[8] as number) & 0x3f) | 0x80;
  const hex = hash.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether `text` is a UUID in lower case, of any version. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
