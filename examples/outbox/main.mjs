/**
 * An order service that writes its events into an outbox, in the transactions that write its orders.
 *
 *   node examples/outbox/main.mjs --url http://127.0.0.1:8080 --token ec_… [--database mysql://root@127.0.0.1:3306/shop]
 *
 * The token is the one that `npm start` printed; without --url it starts a centre of its own. Its database is SQLite in a
 * temporary folder, or the MySQL or MariaDB database that --database names; there it makes the tables `example_orders`
 * and `example_outbox`, and removes them in the end. Ends with 0 when exactly the committed orders arrived, each once,
 * with 1 when something was not as said.
 */
import { parseArgs } from 'node:util';
import { check, summarize } from '../../scripts/checks.mjs';
import { centreAt } from '../../scripts/own-centre.mjs';

let centre = null;
try {
  const { values } = parseArgs({
    options: { url: { type: 'string' }, token: { type: 'string' }, database: { type: 'string' } },
  });
  centre = await centreAt(values);
  // Only now, because on a fresh clone the line above has installed and built what the example imports.
  const { runExample } = await import('./example.mjs');
  await runExample(centre, values.database);
} catch (error) {
  check(`the example runs to its end (${error.message})`, false);
} finally {
  await centre?.stop();
}
summarize();
