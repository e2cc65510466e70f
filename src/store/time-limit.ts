import { unavailable } from './database-errors.js';

/** What `promise` gives. @throws UNAVAILABLE with `problem` after `ms`; the promise runs on, its rejection is dropped. */
export async function withinTime<T>(promise: Promise<T>, ms: number, problem: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(unavailable(`${problem} within ${ms} ms`));
    }, ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
