/**
 * Ways between Erlang nodes of one machine. Each node knows another one under an address of the loopback network where
 * nothing of that node listens but a stand-in of its port mapper, which names the port of a way of ours.
 */
import { connect, createServer } from 'node:net';

/** What a port mapper answers when it knows a node: this, a zero, and the port in two bytes. */
const KNOWN = 119;
const PORT_AT = 2;

/** The address under which the node `from` knows the node `to`. */
export function linkAddress(from, to) {
  return `127.77.${from}.${to + 1}`;
}

/**
 * Makes a way from each member to each other one. Members have `index` and `distributionPort`, `link` is as
 * `startRabbitMqCluster` says. Returns a list of `{ from, to, way, close }`.
 */
export async function linksBetween(members, { mapperPort, link }) {
  const links = [];
  for (const { index: from } of members) {
    for (const { index: to, distributionPort } of members) {
      if (from === to) continue;
      const host = linkAddress(from, to);
      const way = await link({ from: { host, port: 0 }, to: { host: '127.0.0.1', port: distributionPort } });
      const standIn = await standInOfMapper({ host, mapperPort, wayPort: way.port });
      const close = async () => {
        standIn.close();
        await way.close();
      };
      links.push({ from, to, way, close });
    }
  }
  return links;
}

/** Passes questions on to the port mapper and puts the way's port into its answers. */
async function standInOfMapper({ host, mapperPort, wayPort }) {
  const server = createServer((asking) => {
    const mapper = connect({ host: '127.0.0.1', port: mapperPort });
    for (const socket of [asking, mapper]) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        asking.destroy();
        mapper.destroy();
      });
    }
    asking.pipe(mapper);
    const answer = [];
    mapper.on('data', (chunk) => answer.push(chunk));
    mapper.on('end', () => asking.end(withPort(Buffer.concat(answer), wayPort)));
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(mapperPort, host, resolve));
  return server;
}

function withPort(answer, port) {
  if (answer.length >= PORT_AT + 2 && answer[0] === KNOWN && answer[1] === 0) answer.writeUInt16BE(port, PORT_AT);
  return answer;
}
