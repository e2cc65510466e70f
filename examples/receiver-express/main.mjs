/**
 * An Express application that receives signed callbacks, and acts once on each event.
 *
 *   node examples/receiver-express/main.mjs --url http://127.0.0.1:8080 --token ec_… [--port 9001] [--once]
 *
 * The token is the one that `npm start` printed; without --url it starts a centre of its own. It registers itself, sends
 * itself events, shows a repeat and a forged call, and then goes on receiving until Ctrl+C; with --once it ends. Exit code
 * 0 when everything went as said, 1 when something did not.
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { check, say, summarize, title } from '../../scripts/checks.mjs';
import { centreAt } from '../../scripts/own-centre.mjs';

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    token: { type: 'string' },
    port: { type: 'string', default: '0' },
    once: { type: 'boolean', default: false },
  },
});
const asked = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
let centre = null;
let example = null;
try {
  centre = await centreAt(values);
  // Only now, because on a fresh clone the line above has installed and built what the example imports.
  const { startExample } = await import('./example.mjs');
  example = await startExample(centre, { port: Number(values.port) });
  await example.show();
} catch (error) {
  check(`the example runs to its end (${error.message})`, false);
}
summarize();
if (!values.once && process.exitCode === 0) {
  title(`Receiving at ${example.url} until Ctrl+C. An event for it, from another terminal:`);
  say(example.command);
  await asked;
}
await example?.stop();
await centre?.stop();
