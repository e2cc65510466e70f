import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';

/** A file of records, one JSON text per line. A record is in the file when `write` returns. */
export class RecordFile<T> {
  readonly path: string;
  readonly #file: number;
  #closed = false;

  constructor(path: string) {
    this.path = path;
    this.#file = openSync(path, 'a');
  }

  /** Notes nothing after `close`: load that a failed scenario left behind must not end the suite. */
  write(record: T): void {
    if (this.#closed) return;
    writeSync(this.#file, `${JSON.stringify(record)}\n`);
  }

  close(): void {
    this.#closed = true;
    closeSync(this.#file);
  }
}

/** All records of a file; none when it does not exist. */
export function readRecords<T>(path: string): T[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as T);
}
