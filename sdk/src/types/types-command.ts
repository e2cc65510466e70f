import { readFile, writeFile } from 'node:fs/promises';
import type { Environment } from '../client/client-environment.js';
import { EventCenterClientError, InvalidOptionError } from '../errors.js';
import { eventsFile } from './events-file.js';
import { readEventTypes } from './read-event-types.js';
import { typesOptions, UsageError } from './types-options.js';
import type { TypesOptions } from './types-options.js';

/** Where a command speaks: results on `out`, what went wrong on `error`. */
export interface CommandOutput {
  out(text: string): void;
  error(text: string): void;
}

/** 0: done. 1: with `--check`, the file is not as it should be. 2: the command could not do its work. */
export type ExitCode = 0 | 1 | 2;

const USAGE = `event-center types: writes TypeScript types of event payloads from the centre's registry

  --url URL            where the centre is                     EVENT_CENTER_URL
  --app-id ID          the application: its own event types    EVENT_CENTER_APP_ID
  --app-key KEY        its key, in Base64                      EVENT_CENTER_APP_KEY
  --algorithm NAME     what it signs with, HmacSHA1            EVENT_CENTER_ALGORITHM
  --context-path PATH  /event                                  EVENT_CENTER_CONTEXT_PATH
  --token TOKEN        instead of an application: all types    EVENT_CENTER_TOKEN
  --out FILE           events.d.ts
  --check              write nothing; exit with 1 when FILE is not up to date
`;

/** Runs `event-center types`. Never throws. */
export async function typesCommand(
  args: string[],
  { environment, output }: { environment: Environment; output: CommandOutput },
): Promise<ExitCode> {
  try {
    const options = typesOptions(args, environment);
    if (options !== 'help') return await run(options, output);
    output.out(USAGE);
    return 0;
  } catch (error) {
    output.error(`event-center types: ${messageOf(error)}\n`);
    return 2;
  }
}

async function run({ source, out, check }: TypesOptions, output: CommandOutput): Promise<ExitCode> {
  const eventTypes = await readEventTypes(source);
  const text = eventsFile(eventTypes);
  const summary = `${out}: ${eventTypes.length} event ${eventTypes.length === 1 ? 'type' : 'types'}`;
  if (!check) {
    await writeFile(out, text).catch((error: unknown) => {
      throw new UsageError(`--out: ${out} cannot be written: ${messageOf(error)}`);
    });
    output.out(`${summary} written\n`);
    return 0;
  }
  const found = await currentText(out);
  if (found === text) {
    output.out(`${summary}, up to date\n`);
    return 0;
  }
  output.error(
    `${out} ${found === null ? 'does not exist' : 'is not up to date'}: run event-center types without --check\n`,
  );
  return 1;
}

async function currentText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new UsageError(`--out: ${path} cannot be read: ${messageOf(error)}`);
  }
}

/** Options of the caller go by other names on the command line. */
const OPTION_NAMES: Record<string, string> = {
  baseUrl: '--url',
  appId: '--app-id',
  appKey: '--app-key',
  algorithm: '--algorithm',
  contextPath: '--context-path',
};

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof InvalidOptionError) {
    return `${OPTION_NAMES[error.field] ?? error.field}${error.message.slice(error.field.length)}`;
  }
  return error instanceof EventCenterClientError ? `${error.code}: ${error.message}` : error.message;
}
