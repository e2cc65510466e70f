const SECONDS = /^\d{1,15}$/;
/** The three forms of a date in HTTP (RFC 9110, 5.6.7) all begin with the name of a day. */
const DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? /;

/** How long a `Retry-After` asks to wait, in ms: seconds or an HTTP date (RFC 9110, 10.2.3). Null when unreadable. */
export function retryAfterMs(header: string | null, now: number): number | null {
  const text = header?.trim() ?? '';
  if (SECONDS.test(text)) return Number(text) * 1000;
  if (!DATE.test(text)) return null;
  const at = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
