import { inTime } from '../core/in-time.js';
import { unavailable } from './database-errors.js';

/** What `promise` gives. @throws UNAVAILABLE with `problem` after `ms`; the promise runs on, its rejection is dropped. */
export function withinTime<T>(promise: Promise<T>, ms: number, problem: string): Promise<T> {
  return inTime(promise, ms, () => unavailable(`${problem} within ${ms} ms`));
}
