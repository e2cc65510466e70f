import { StuckQueues, type StuckQueuesDeps } from '../../src/broker/rabbitmq/stuck-queues.js';
import { silentLog } from '../support/brokers.js';

describe('stuck queues', () => {
  let stuck: StuckQueues;
  let confirms: { own: boolean; queues: Set<string> };
  let connected: boolean;
  let probed: string[];
  let recreated: string[];

  beforeEach(() => {
    jest.useFakeTimers();
    confirms = { own: true, queues: new Set(['well']) };
    connected = true;
    probed = [];
    recreated = [];
    const answer = (well: boolean): Promise<void> =>
      well ? Promise.resolve() : Promise.reject(new Error('no confirm'));
    const deps: StuckQueuesDeps = {
      probe: (queue) => {
        probed.push(queue);
        return answer(confirms.queues.has(queue));
      },
      probeOwn: () => answer(confirms.own),
      connected: () => connected,
      boundTo: (id) => (id === 'type' ? ['well', 'ill'] : []),
      recreate: (queue) => {
        recreated.push(queue);
        confirms.queues.add(queue);
        return Promise.resolve();
      },
      log: silentLog,
      metrics: null,
    };
    stuck = new StuckQueues(deps);
  });

  afterEach(async () => {
    await stuck.stop();
    jest.useRealTimers();
  });

  const pass = (seconds: number): Promise<void> => jest.advanceTimersByTimeAsync(seconds * 1000);

  it('makes a queue anew that confirms nothing for a minute, and leaves the others of its event type alone', async () => {
    stuck.suspectQueuesOf('type');
    await pass(55);
    expect(recreated).toEqual([]);
    await pass(30);
    expect(recreated).toEqual(['ill']);
    expect(probed.filter((queue) => queue === 'well')).toHaveLength(1);
  });

  it('leaves a queue alone that confirms in time', async () => {
    stuck.suspectQueue('slow');
    await pass(50);
    confirms.queues.add('slow');
    await pass(120);
    expect(recreated).toEqual([]);
    const checks = probed.length;
    await pass(120);
    expect(probed).toHaveLength(checks);
  });

  it('deletes nothing while the broker confirms nothing at all', async () => {
    confirms.own = false;
    stuck.suspectQueue('ill');
    await pass(600);
    expect(recreated).toEqual([]);
    expect(probed).toEqual([]);
    confirms.own = true;
    await pass(40);
    expect(recreated).toEqual(['ill']);
  });

  it('does not count the time in which the broker was away', async () => {
    stuck.suspectQueue('ill');
    await pass(30);
    connected = false;
    await pass(120);
    connected = true;
    stuck.suspectQueue('ill');
    await pass(55);
    expect(recreated).toEqual([]);
    await pass(30);
    expect(recreated).toEqual(['ill']);
  });
});
