/**
 * The bounds of what can be registered, for the rules in the core and for the description of the management API.
 * Lengths are in characters.
 */

/** `node_code`: also part of a queue's name (protocol, section 6). `.` and `..` are no names in a path. */
export const NODE_CODE = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,40}$/;
export const NODE_CODE_RULE = 'expected 1 to 40 of A-Z a-z 0-9 . _ - (and not just . or ..)';

export const CODE_LENGTH = 40;
export const NAME_LENGTH = 200;
export const NOTE_LENGTH = 4_000;
export const CLASS_NAME_LENGTH = 300;
export const URL_LENGTH = 2_000;
/** Of the text of a key or secret. */
export const KEY_LENGTH = 512;
/** Of a JSON Schema, as JSON text. */
export const SCHEMA_LENGTH = 65_536;

export const CONCURRENCY = { min: 1, max: 1_000 };
/** Per second and process. */
export const RATE = { min: 1, max: 1_000_000 };
export const OPER_INDEX = { min: 0, max: 2_147_483_647 };
export const TIMEOUT_MS = { min: 1_000, max: 300_000 };
export const DEFAULT_TIMEOUT_MS = 15_000;
export const MAX_ATTEMPTS = { min: 1, max: 1_000 };
/** Up to seven days. */
export const DELAY_MS = { min: 1, max: 604_800_000 };
export const DELAYS_PER_LISTENER = 20;
export const HEADERS_PER_LISTENER = 32;
export const HEADER_LENGTH = 2_000;
/** How many earlier keys of a node can be good at a time. */
export const PREVIOUS_KEYS = 3;
/** How long a key stays good after it was rotated away: 24 hours unless asked otherwise, up to 30 days. */
export const GRACE_MS = { min: 0, max: 2_592_000_000 };
export const DEFAULT_GRACE_MS = 86_400_000;

/** What stands in an answer where a secret is. */
export const MASK = '***';
