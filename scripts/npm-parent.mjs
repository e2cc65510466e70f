const POLL_MS = 500;

/**
 * Ends this process with SIGTERM when npm, which started it, is ended: npm's SIGTERM reaches the shell between the two
 * and goes no further. Call it after the handlers for signals are in place.
 */
export function endWithNpm() {
  if (process.env.npm_lifecycle_event === undefined || process.platform === 'win32') return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM');
  }, POLL_MS);
  timer.unref();
  // A signal that came here itself is enough; a second one would cut the orderly end short.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => clearInterval(timer));
}
