import { InvalidOptionError } from '../errors.js';
import type { DeadEventPage } from './dead-event-store.js';

const DEFAULT_LIMIT = 100;
const LARGEST_LIMIT = 1000;

/** @throws InvalidOptionError */
export function checkedPage({ limit = DEFAULT_LIMIT, after }: DeadEventPage): { limit: number; after: string | null } {
  if (!Number.isInteger(limit) || limit < 1 || limit > LARGEST_LIMIT) {
    throw new InvalidOptionError('limit', `expected a whole number, 1 to ${LARGEST_LIMIT}`);
  }
  return { limit, after: after ?? null };
}
