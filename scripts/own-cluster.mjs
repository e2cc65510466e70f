/**
 * A RabbitMQ cluster of one's own on one machine. Each node knows the others under addresses of the loopback network
 * that lead through links of ours, so that the network between two nodes can be cut without touching anything else.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linkAddress, linksBetween } from './own-links.mjs';
import { rabbitMqNode, stopMapper } from './own-rabbitmq-node.mjs';
import { freePort } from './own-service.mjs';
import { run } from './prepare.mjs';

const HERE = '127.0.0.1';

/**
 * Starts `size` nodes, each of which answers, joined to one cluster.
 *
 * `link({ from, to })` makes a way from one address to another, each `{ host, port }`; port 0 of `from` stands for any.
 * It returns one with its `port`, `cut()`, which ends its connections and takes no new ones, `freeze()`, which silently
 * passes nothing on, `restore()`, `thaw()` and `close()`. `partitionHandling` is the broker's `cluster_partition_handling`.
 *
 * The cluster returned has `nodes`, each a service with its own `url` and `control`; `isolate(index, how)` cuts or
 * freezes every way to and from one node, and `rejoin(index)` takes that back.
 */
export async function startRabbitMqCluster({ answers, link, size = 3, partitionHandling = 'pause_minority' }) {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-cluster-'));
  const mapperPort = await freePort();
  const members = [];
  for (let index = 0; index < size; index += 1) {
    const host = `ec-${index}`;
    // One port mapper serves all: it tells them apart by what stands before the host.
    const name = `rabbit-${index}@${host}`;
    members.push({ index, name, host, port: await freePort(), distributionPort: await freePort() });
  }
  await run('epmd', ['-daemon', '-port', String(mapperPort), '-address', HERE], { stdio: 'ignore' });
  const links = await linksBetween(members, { mapperPort, link });
  const remove = async (nodes) => {
    await Promise.all(nodes.map((node) => node.stop()));
    await Promise.all(links.map((each) => each.close()));
    await stopMapper(mapperPort);
    rmSync(folder, { recursive: true, force: true });
  };
  const configuration = configurationOf(members, partitionHandling);
  const nodes = members.map((member) => nodeOf({ member, members, folder, mapperPort, configuration, answers }));
  try {
    // One after another: the first makes the cluster that the others find.
    for (const node of nodes) await node.start();
  } catch (error) {
    await remove(nodes);
    throw error;
  }
  const waysOf = (index) => links.filter(({ from, to }) => from === index || to === index).map(({ way }) => way);
  return {
    nodes,
    isolate: (index, how) => {
      for (const way of waysOf(index)) way[how]();
    },
    rejoin: (index) => {
      for (const way of waysOf(index)) {
        way.restore();
        way.thaw();
      }
    },
    remove: () => remove(nodes),
  };
}

function configurationOf(members, partitionHandling) {
  return [
    'cluster_formation.peer_discovery_backend = classic_config',
    ...members.map(({ name }, place) => `cluster_formation.classic_config.nodes.${place + 1} = ${name}`),
    `cluster_partition_handling = ${partitionHandling}`,
  ];
}

function nodeOf({ member, members, folder, mapperPort, configuration, answers }) {
  const { index, name, host, port, distributionPort } = member;
  const own = join(folder, host);
  mkdirSync(own);
  writeFileSync(join(own, '.erlang.cookie'), 'only-of-this-cluster');
  chmodSync(join(own, '.erlang.cookie'), 0o400);
  const hosts = members.map((other) => {
    const address = other.index === index ? HERE : linkAddress(index, other.index);
    return `{host, {${address.replaceAll('.', ',')}}, ["${other.host}"]}.`;
  });
  writeFileSync(join(own, 'inetrc'), ['{lookup, [file, native]}.', ...hosts, ''].join('\n'));
  return rabbitMqNode({
    folder: own,
    name,
    port,
    distributionPort,
    mapperPort,
    answers,
    configuration,
    environment: {
      ERL_INETRC: join(own, 'inetrc'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `-kernel inet_dist_use_interface {${HERE.replaceAll('.', ',')}}`,
    },
  });
}
