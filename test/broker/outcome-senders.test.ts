import { connect } from 'amqplib';
import { encodeOutcomes } from '../../src/broker/message-format.js';
import type { Outcome } from '../../src/core/model.js';
import type { DeadMessage } from '../../src/core/ports.js';
import { brokerFixture, type BrokerFixture } from '../support/brokers.js';
import { anOutcome } from '../support/messages.js';
import { TEST_BROKER_URL } from '../support/raw-broker.js';
import { until } from '../support/until.js';

describe('outcomes on RabbitMQ, by who sends them', () => {
  let fixture: BrokerFixture;

  beforeEach(() => {
    fixture = brokerFixture('rabbitmq');
  });

  afterEach(async () => {
    await fixture.cleanup();
  });

  /** Publishes past the centre, as the tests' own user of the broker; says why RabbitMQ refused it, if it did. */
  async function publish(outcomes: Outcome[], userId: string | undefined): Promise<string | null> {
    const { body, headers } = encodeOutcomes(outcomes);
    const connection = await connect(TEST_BROKER_URL);
    const channel = await connection.createConfirmChannel();
    let refusal: string | null = null;
    channel.on('error', (error: Error) => {
      refusal = error.message;
    });
    const options = { headers, messageId: 'm', persistent: true, ...(userId === undefined ? {} : { userId }) };
    try {
      channel.publish(fixture.names.outcomes, '', body, options);
      await channel.waitForConfirms().catch(() => {});
      return refusal;
    } finally {
      await connection.close();
    }
  }

  async function consume(url: string) {
    const broker = await fixture.start({ url });
    const taken: Outcome[] = [];
    const dead: DeadMessage[] = [];
    await broker.consumeOutcomes({ prefetch: 10 }, async ({ message }) => {
      taken.push(...message);
      return 'ack';
    });
    await broker.consumeDead({ prefetch: 10 }, async ({ message }) => {
      dead.push(message);
      return 'ack';
    });
    return { broker, taken, dead };
  }

  it('takes those of its own user for every node, and names that user in what it sends', async () => {
    const { broker, taken, dead } = await consume(TEST_BROKER_URL);
    await broker.publishOutcomes([anOutcome({ nodeCode: 'A' }), anOutcome({ nodeCode: 'B' })]);
    await until('both came', () => taken.length === 2);
    expect(dead).toEqual([]);
  });

  it('moves a batch without user_id to the dead queue with the reason', async () => {
    const { taken, dead } = await consume(TEST_BROKER_URL);
    expect(await publish([anOutcome()], undefined)).toBeNull();
    await until('it is dead', () => dead.length === 1);
    expect(dead[0]).toMatchObject({ reason: 'expected the property user_id', queue: fixture.names.outcomes });
    expect(taken).toEqual([]);
  });

  it('is refused by RabbitMQ when the user_id is not that of the connection', async () => {
    const { taken, dead } = await consume(TEST_BROKER_URL);
    expect(await publish([anOutcome()], 'somebody')).toContain("user_id property set to 'somebody' but authenticated");
    expect([taken, dead]).toEqual([[], []]);
  });
});
