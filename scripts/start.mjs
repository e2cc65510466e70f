/**
 * `npm start`: the centre on a fresh clone. Installs and builds if needed, then becomes `event-center serve`: one
 * process, so signals and exit code are its own. Arguments and environment go through: `npm start -- --config my.yaml`.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { endWithNpm } from './npm-parent.mjs';
import { ROOT, prepare } from './prepare.mjs';

try {
  await prepare();
  const main = join(ROOT, 'dist', 'src', 'main.js');
  process.argv = [process.argv[0], main, 'serve', ...process.argv.slice(2)];
  await import(pathToFileURL(main).href);
  endWithNpm();
} catch (error) {
  process.stderr.write(`event-center: ${error.message}\n`);
  process.exitCode = 1;
}
