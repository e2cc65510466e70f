#!/usr/bin/env node
import { processEnvironment } from './client/client-environment.js';
import { typesCommand } from './types/types-command.js';

const USAGE = `event-center <command>

  types    writes TypeScript types of event payloads from the centre's registry

event-center <command> --help says more.
`;

const [command, ...args] = process.argv.slice(2);
const output = {
  out: (text: string) => void process.stdout.write(text),
  error: (text: string) => void process.stderr.write(text),
};

if (command === 'types') {
  // Not process.exit(), which may cut off what was written.
  void typesCommand(args, { environment: processEnvironment(), output }).then((code) => {
    process.exitCode = code;
  });
} else if (command === undefined || command === '--help' || command === '-h') {
  output.out(USAGE);
  process.exitCode = command === undefined ? 2 : 0;
} else {
  output.error(`event-center: no command ${JSON.stringify(command)}\n\n${USAGE}`);
  process.exitCode = 2;
}
