import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Behaviour } from './receivers.js';

/** How listeners misbehave, and what the centre says of it. */
export interface Sickness {
  name: string;
  answer: (response: ServerResponse) => void;
  /** What is recorded as the error; null where the answer counts as a success. */
  error: RegExp | null;
}

const HUGE_BYTES = 100 * 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, 'x');
const TRICKLE_MS = 1_000;
const TIME_OUT = /^no (complete )?answer within \d+ ms$/;

/** Nobody asks here: a redirect leads to it. */
const NOBODYS_PATH = '/nobody/follows';

/** What was put on the wire of the huge answers, in bytes: those that the other side did not take are in between. */
export const hugeAnswers = { begun: 0, written: 0 };

export const SICKNESSES: Sickness[] = [
  { name: 'hangs', answer: () => undefined, error: TIME_OUT },
  { name: 'trickles', answer: trickle, error: TIME_OUT },
  { name: 'huge', answer: huge, error: /^the answer is not JSON$/ },
  { name: 'closes-early', answer: closeEarly, error: /closed|terminated|ECONNRESET|content-length|hang up|aborted/i },
  {
    name: 'resets',
    answer: (response) => void response.socket?.resetAndDestroy(),
    error: /ECONNRESET|closed|hang up/i,
  },
  {
    name: 'redirects',
    answer: (response) => void response.writeHead(302, { location: NOBODYS_PATH }).end('{"success":"true"}'),
    error: /^answered 302: redirects are not followed$/,
  },
  {
    name: 'garbage',
    answer: (response) => void response.writeHead(200).end(randomBytes(20_000)),
    error: /^the answer is not JSON$/,
  },
  {
    name: 'nested',
    answer: (response) => void response.writeHead(200).end('['.repeat(60_000) + ']'.repeat(4_000)),
    error: /^the answer (is not JSON|has no success)$/,
  },
  {
    name: 'half-header',
    answer: (response) => void response.socket?.write('HTTP/1.1 200 OK\r\ncontent-le'),
    error: TIME_OUT,
  },
  {
    name: 'not-http',
    answer: (response) => void response.socket?.write('EHLO centre\r\n\r\n'),
    error: /Expected HTTP|parse/i,
  },
  {
    name: 'wrong-type',
    answer: (response) => void response.writeHead(200, { 'content-type': 'image/png' }).end('{"success":"true"}'),
    error: null,
  },
];

/** Answers so as long as `isSick`, then well. */
export function sick(sickness: Sickness, isSick: () => boolean): Behaviour {
  return (_, { response }) => {
    if (isSick()) {
      sickness.answer(response);
      return sickness.error === null;
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"success":"true"}');
    return true;
  };
}

/** One byte a second of an answer that would be a success in the end. */
function trickle(response: ServerResponse): void {
  const text = '{"success":"true"}';
  let sent = 0;
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length });
  const timer = setInterval(() => response.write(text.charAt(sent++)), TRICKLE_MS);
  response.once('close', () => clearInterval(timer));
}

/** As fast as it is taken. */
function huge(response: ServerResponse): void {
  hugeAnswers.begun += 1;
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': HUGE_BYTES });
  let left = HUGE_BYTES;
  const write = (): void => {
    while (left > 0 && !response.destroyed) {
      left -= CHUNK.length;
      hugeAnswers.written += CHUNK.length;
      if (!response.write(CHUNK)) return void response.once('drain', write);
    }
    if (left <= 0) response.end();
  };
  write();
}

/** Promises more than it sends. */
function closeEarly(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1_000 });
  response.write('{"success":"true"', () => response.socket?.end());
}
