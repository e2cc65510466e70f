/** What the demo and the examples print: titles, lines, and checks that decide about the exit code. */
const checks = [];
const startedAt = Date.now();

/** Prints whether `what` holds, and remembers it. */
export function check(what, holds) {
  checks.push({ what, holds: Boolean(holds) });
  say(`${holds ? 'ok    ' : 'FAILED'} ${what}`);
}

export function title(...words) {
  console.log(`\n${words.join(' ')}`);
}

export function say(text) {
  console.log(`  ${text}`);
}

/** Prints how many checks held, and sets the exit code: 0 only when there were some and all held. */
export function summarize(...details) {
  const failed = checks.filter((one) => !one.holds);
  const counts = [`${checks.length - failed.length} of ${checks.length} checks held`, ...details];
  console.log(`\n${counts.join(', ')}, ${Date.now() - startedAt} ms`);
  for (const { what } of failed) console.log(`  FAILED ${what}`);
  process.exitCode = failed.length === 0 && checks.length > 0 ? 0 : 1;
}

/** Asks again and again until `condition` gives something, and returns it. @throws after `timeoutMs`, naming `what`. */
export async function until(what, condition, timeoutMs = 30_000) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
