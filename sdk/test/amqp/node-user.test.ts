import { randomBytes } from 'node:crypto';
import { connect, type ConfirmChannel } from 'amqplib';
import { encodeEvent, encodeOutcomes } from '../../../src/broker/message-format.js';
import { aMessage, anOutcome } from '../../../test/support/messages.js';
import { until } from '../../../test/support/until.js';
import { canMakeBrokerUsers, makeNodeUser } from './broker-user.js';
import { CentreFake } from './centre-fake.js';

const NODE = `ECT${randomBytes(4).toString('hex').toUpperCase()}`;
const describeHere = canMakeBrokerUsers() ? describe : describe.skip;

describeHere('the rights of a node’s user of the broker', () => {
  let user: Awaited<ReturnType<typeof makeNodeUser>>;
  let centre: CentreFake;

  beforeAll(async () => {
    user = await makeNodeUser(NODE);
    centre = new CentreFake(NODE, user.url);
    await centre.start();
    await centre.plugin('one', { retry: { strategy: 'default', maxAttempts: 2, delaysMs: [50] } }).declare();
    const other = { kind: 'plugin' as const, nodeCode: 'OTHER' };
    await centre.broker.ensureTopology({ nodeQueues: [{ ...other, eventTypeIds: [] }], delaysMs: [] });
  });

  afterAll(async () => {
    await centre.stop();
    await user.remove();
  });

  /** Does something on a channel of the user's; gives why the broker closed it, null when it did not. */
  async function asNode(work: (channel: ConfirmChannel) => unknown): Promise<string | null> {
    const connection = await connect(user.url);
    const channel = await connection.createConfirmChannel();
    let refusal: string | null = null;
    channel.on('error', (error: Error) => {
      refusal = error.message;
    });
    try {
      await work(channel);
      await channel.waitForConfirms();
    } catch (error) {
      refusal ??= error instanceof Error ? error.message : String(error);
    } finally {
      await connection.close();
    }
    return refusal;
  }

  const outcomesOf = (nodeCode: string) => encodeOutcomes([anOutcome({ nodeCode })]);

  it('let it report for its own node', async () => {
    const { body, headers } = outcomesOf(NODE);
    const options = { headers, messageId: 'own', userId: NODE };
    const before = centre.outcomes.length;
    expect(await asNode((c) => c.publish(centre.fixture.names.outcomes, '', body, options))).toBeNull();
    await until('it was taken', () => centre.outcomes.length === before + 1);
  });

  it('move what it reports for another node to the dead queue with the reason, unrecorded', async () => {
    const { body, headers } = outcomesOf('OTHER');
    const options = { headers, messageId: 'forged', userId: NODE };
    expect(await asNode((c) => c.publish(centre.fixture.names.outcomes, '', body, options))).toBeNull();
    const found = `the broker user ${NODE} reported for node OTHER`;
    await until('it is dead', () => centre.dead.some(({ reason }) => reason.includes(found)));
    expect(centre.outcomes.filter(({ nodeCode }) => nodeCode === 'OTHER')).toEqual([]);
  });

  it('do not let it take another user’s name', async () => {
    const { body, headers } = outcomesOf('OTHER');
    const options = { headers, messageId: 'forged', userId: 'guest' };
    expect(await asNode((c) => c.publish(centre.fixture.names.outcomes, '', body, options))).toContain('user_id');
  });

  it('do not let it publish events, nor to queues by their names', async () => {
    const { names } = centre.fixture;
    const { body, headers } = encodeEvent(aMessage());
    const options = { headers, messageId: 'x' };
    expect(await asNode((c) => c.publish(names.events, 'x', body, options))).toContain('ACCESS_REFUSED');
    for (const queue of [names.journal, names.outcomes, names.dead]) {
      expect(await asNode((c) => c.sendToQueue(queue, body, options))).toContain('ACCESS_REFUSED');
    }
  });

  it('do not let it read, purge or bind what is not its own, nor declare or delete anything', async () => {
    const { names } = centre.fixture;
    const own = names.node(centre.queue);
    const other = names.node({ kind: 'plugin', nodeCode: 'OTHER' });
    const refused: [string, (channel: ConfirmChannel) => unknown][] = [
      ['consume of another node', (c) => c.consume(other, () => undefined)],
      ['get from the outcomes', (c) => c.get(names.outcomes)],
      ['get from the journal', (c) => c.get(names.journal)],
      ['purge of another node', (c) => c.purgeQueue(other)],
      ['delete of the own queue', (c) => c.deleteQueue(own)],
      ['declare of a queue', (c) => c.assertQueue('ect-0.app.x')],
      ['declare of an exchange', (c) => c.assertExchange('ect-0.redeliver', 'fanout')],
      ['bind of the events', (c) => c.bindQueue(own, names.events, '#')],
    ];
    for (const [what, work] of refused)
      expect([what, await asNode(work)]).toEqual([what, expect.stringContaining('403')]);
  });

  it('leave open what the operations page says: depths, and other nodes’ queues by the ways of retries', async () => {
    const { names } = centre.fixture;
    const other = { kind: 'plugin' as const, nodeCode: 'OTHER' };
    expect(await asNode((c) => c.checkQueue(names.journal))).toBeNull();
    const { body, headers } = encodeEvent(aMessage());
    const options = { headers, messageId: 'x', persistent: true };
    expect(await asNode((c) => c.publish(names.redeliver, names.node(other), body, options))).toBeNull();
    expect(await centre.broker.depth(other)).toBe(1);
  });
});
