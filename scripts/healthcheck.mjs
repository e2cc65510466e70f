/** Ends with 0 when the centre in this container answers, with 1 when it does not. */
const port = process.env.EVENT_CENTER_PORT || '8080';
try {
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(4_000) });
  process.exitCode = answer.ok ? 0 : 1;
} catch {
  process.exitCode = 1;
}
