import type { HandlerContext } from './notification.js';

/**
 * Runs an attempt, which fails when it takes longer than `timeoutMs` or `controller` is aborted. What does not heed its
 * signal may go on behind it.
 * @param controller is aborted with the time-out.
 */
export async function attemptWithin(
  timeoutMs: number,
  { controller, attempt }: { controller: AbortController; attempt: number },
  act: (context: HandlerContext) => Promise<void> | void,
): Promise<void> {
  const { signal } = controller;
  const timer = setTimeout(() => {
    controller.abort(new Error(`the handler was not done within ${timeoutMs} ms`));
  }, timeoutMs);
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  try {
    await Promise.race([act({ attempt, signal }), aborted]);
  } finally {
    clearTimeout(timer);
  }
}
