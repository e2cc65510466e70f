/**
 * Preloaded by a process under test (`--import`): names that EVENT_CENTER_TEST_NAMES lists have the addresses given
 * there, by turns, in every look-up of the process; all other names are asked for as usual. The variable is JSON, such as
 * `{"turning.test": [["127.0.0.1"], ["127.0.0.2"]]}`.
 */
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';

const names = new Map(Object.entries(JSON.parse(process.env['EVENT_CENTER_TEST_NAMES'] ?? '{}')));
const lookedUp = new Map();
const { lookup } = dns;

dns.lookup = (hostname, options, callback) => {
  const turns = names.get(hostname);
  if (turns === undefined) return lookup(hostname, options, callback);
  const count = lookedUp.get(hostname) ?? 0;
  lookedUp.set(hostname, count + 1);
  const found = turns[count % turns.length].map((address) => ({ address, family: 4 }));
  process.nextTick(() => (options.all ? callback(null, found) : callback(null, found[0].address, found[0].family)));
};
syncBuiltinESMExports();
