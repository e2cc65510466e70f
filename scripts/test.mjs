/**
 * `npm test`: every test but those of `npm run test:security`, on RabbitMQ and MariaDB or MySQL, which it finds or starts.
 *
 *   npm test -- --embedded       without them: the embedded broker and SQLite only
 *   npm test -- --own-services   starts its own even when some are running here
 *   npm test -- test/core -t x   anything else is given to jest
 *
 * The last line is `N passed, N failed`; exit code 0 only when something ran and nothing failed.
 */
import { endWithCounts, runJest } from './jest-run.mjs';

const OWN_FLAGS = ['--embedded', '--own-services'];
const SECURITY = 'test/security';

const args = process.argv.slice(2);
const given = args.filter((arg) => !OWN_FLAGS.includes(arg));
const asksForSecurity = given.some((arg) => arg.includes(SECURITY));
const ignored = ['/node_modules/', `/${SECURITY}/`].map((pattern) => `--testPathIgnorePatterns=${pattern}`);
// Behind what is given, because the option takes every argument that follows it.
const jestArgs = asksForSecurity ? given : [...given, ...ignored];

endWithCounts(
  runJest({
    jestArgs,
    embedded: args.includes('--embedded'),
    onlyOwn: args.includes('--own-services'),
    say: (text) => process.stdout.write(`test: ${text}\n`),
  }),
  'test',
);
