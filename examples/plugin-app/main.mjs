/**
 * A billing application that runs its plugins in its own process: audit, then billing, for every order.
 *
 *   node examples/plugin-app/main.mjs --url http://127.0.0.1:8080 --token ec_…
 *
 * The token is the one that `npm start` printed; without --url it starts a centre of its own. Ends with 0 when
 * everything went as said, with 1 when something did not.
 */
import { parseArgs } from 'node:util';
import { check, summarize } from '../../scripts/checks.mjs';
import { centreAt } from '../../scripts/own-centre.mjs';

const { values } = parseArgs({ options: { url: { type: 'string' }, token: { type: 'string' } } });
let centre = null;
try {
  centre = await centreAt(values);
  // Only now, because on a fresh clone the line above has installed and built what the example imports.
  const { runExample } = await import('./example.mjs');
  await runExample(centre);
} catch (error) {
  check(`the example runs to its end (${error.message})`, false);
} finally {
  await centre?.stop();
}
summarize();
