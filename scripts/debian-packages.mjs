/** Debian's packages that tests need, and their installation where this may be done. */
import { existsSync } from 'node:fs';
import { run } from './prepare.mjs';

/** Of each package one file in every place where it may be. */
const FILES = {
  'rabbitmq-server': ['/usr/lib/rabbitmq/bin/rabbitmq-server'],
  'mariadb-server': ['/usr/sbin/mariadbd'],
  faketime: ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((name) => `/usr/lib/${name}/faketime/libfaketime.so.1`),
};

/** Where the file by which a package is known stands; undefined when it is not installed. */
export function fileOf(name) {
  return FILES[name].find((path) => existsSync(path));
}

/** Those of the packages that are not installed. */
export function missingPackages(names) {
  return names.filter((name) => fileOf(name) === undefined);
}

/** Installs packages with apt-get. Throws with `whatToDo` where that cannot be. */
export async function installPackages(names, { say, whatToDo }) {
  if (!existsSync('/usr/bin/apt-get') || process.getuid?.() !== 0) throw new Error(whatToDo);
  say(`installing ${names.join(', ')} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await run('apt-get', ['update', '-qq'], { env });
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names], { env });
  } catch (error) {
    throw new Error(`${error.message}\n${whatToDo}`, { cause: error });
  }
}
