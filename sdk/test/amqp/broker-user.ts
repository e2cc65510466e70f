import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { TEST_BROKER_URL } from '../../../test/support/raw-broker.js';

const run = promisify(execFile);

/** Whether users of the tests' broker can be made here; says on standard error when they cannot. */
export function canMakeBrokerUsers(): boolean {
  try {
    execFileSync('rabbitmqctl', ['--quiet', 'list_vhosts'], { stdio: 'pipe' });
    return true;
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    process.stderr.write(`the tests of sdk/test/amqp are skipped: rabbitmqctl cannot be used here (${why ?? ''})\n`);
    return false;
  }
}

/**
 * Makes a user of a node with the permissions of the operations page, under every prefix of the test fixtures; gives its
 * url and what deletes it.
 */
export async function makeNodeUser(nodeCode: string): Promise<{ url: string; remove: () => Promise<void> }> {
  const password = 'only-for-tests';
  const prefix = 'ec[tf]-[0-9a-f]+\\.';
  const write = `^${prefix}(redeliver|outcomes|dead|delay\\.[0-9]+)$`;
  await run('rabbitmqctl', ['--quiet', 'add_user', nodeCode, password]);
  const remove = async (): Promise<void> => {
    await run('rabbitmqctl', ['--quiet', 'delete_user', nodeCode]);
  };
  try {
    const read = `^${prefix}app\\.${nodeCode}$`;
    await run('rabbitmqctl', ['--quiet', 'set_permissions', '-p', '/', nodeCode, '^$', write, read]);
  } catch (error) {
    await remove();
    throw error;
  }
  const url = new URL(TEST_BROKER_URL);
  url.username = nodeCode;
  url.password = password;
  return { url: url.href, remove };
}
