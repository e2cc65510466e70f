const LONGEST = 500;

/** What was thrown, as one sentence without a stack. */
export function sentenceOf(thrown: unknown): string {
  const line = textOf(thrown).replace(/\s+/g, ' ').trim();
  return line.length > LONGEST ? `${line.slice(0, LONGEST - 1)}…` : line;
}

function textOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message === '' ? thrown.name : thrown.message;
  if (typeof thrown === 'string') return thrown === '' ? 'an empty text was thrown' : thrown;
  try {
    return `${JSON.stringify(thrown)} was thrown`;
  } catch {
    return `a value of type ${typeof thrown} was thrown`;
  }
}
