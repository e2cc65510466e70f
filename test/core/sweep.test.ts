import fc from 'fast-check';
import { uuidV7 } from '../../src/core/ids.js';
import type { ChainKey } from '../../src/core/ports.js';
import { Sweeper } from '../../src/core/redelivering/sweep.js';
import { aNode, recordingLog } from '../support/accepting.js';
import { aListener, countingIncidents, EditableRegistry, ManualClock } from '../support/redelivering.js';

const GRACE_MS = 900_000;
const INTERVAL_MS = 60_000;
const NODE = 'N';

/** A sweeper over a store in which one chain has shown no sign of life since `silentSince`. */
class Setting {
  readonly clock = new ManualClock();
  readonly registry = new EditableRegistry();
  readonly metrics = countingIncidents();
  readonly swept: { key: ChainKey; at: number }[] = [];
  readonly askedBefore: number[] = [];
  silentSince = this.clock.time;
  behind = false;
  depth: number | null | Error = 0;
  unrecorded = 0;
  readonly sweeper = new Sweeper({
    store: {
      overdueNodes: (before) => Promise.resolve(this.silentSince < before ? [NODE] : []),
      overdueChains: (nodeCode, before) => {
        this.askedBefore.push(before);
        return Promise.resolve(this.silentSince < before ? [{ eventId: 'E', nodeCode }] : []);
      },
    },
    redelivery: {
      raise: (key) => {
        this.swept.push({ key, at: this.clock.time });
        this.silentSince = this.clock.time;
        return Promise.resolve(true);
      },
    },
    broker: {
      depth: async (queue) => {
        if (queue.kind === 'outcomes') return this.unrecorded;
        if (queue.kind === 'journal') return 0;
        if (this.depth instanceof Error) throw this.depth;
        return this.depth;
      },
    },
    registry: this.registry,
    isBehind: () => this.behind,
    log: recordingLog(),
    metrics: this.metrics,
    clock: this.clock,
    intervalMs: INTERVAL_MS,
    graceMs: GRACE_MS,
  });

  constructor() {
    this.registry.add(aListener(NODE, uuidV7()));
  }

  /** Runs every interval for `forMs`. */
  async run(forMs: number): Promise<void> {
    for (const end = this.clock.time + forMs; this.clock.time < end;) {
      this.clock.time += INTERVAL_MS;
      await this.sweeper.sweep(new AbortController().signal);
    }
  }
}

describe('the sweeper', () => {
  it('sweeps a chain that is silent for the grace and one look more', async () => {
    const setting = new Setting();
    const silentSince = setting.silentSince;
    await setting.run(GRACE_MS);
    expect(setting.swept).toEqual([]);
    await setting.run(3 * INTERVAL_MS);
    expect(setting.swept).toEqual([
      { key: { eventId: 'E', nodeCode: NODE }, at: silentSince + GRACE_MS + INTERVAL_MS },
    ]);
    expect(setting.metrics.incidents.get('delivery.swept')).toBe(1);
  });

  it('takes a missing queue for an empty one', async () => {
    const setting = new Setting();
    setting.depth = null;
    await setting.run(GRACE_MS + INTERVAL_MS);
    expect(setting.swept).toHaveLength(1);
  });

  it('does not sweep a backlog, nor what a worker took from its end a moment ago', async () => {
    const setting = new Setting();
    setting.depth = 5;
    await setting.run(10 * GRACE_MS);
    setting.depth = 0;
    await setting.run(GRACE_MS - INTERVAL_MS);
    expect(setting.swept).toEqual([]);
    await setting.run(2 * INTERVAL_MS);
    expect(setting.swept).toHaveLength(1);
  });

  it('does not sweep what may only be unrecorded', async () => {
    const setting = new Setting();
    setting.unrecorded = 1;
    await setting.run(3 * GRACE_MS);
    setting.unrecorded = 0;
    await setting.run(GRACE_MS - INTERVAL_MS);
    expect(setting.swept).toEqual([]);
    await setting.run(2 * INTERVAL_MS);
    expect(setting.swept).toHaveLength(1);
  });

  it('does not sweep while something waits in the queue now', async () => {
    const setting = new Setting();
    await setting.run(GRACE_MS - INTERVAL_MS);
    setting.depth = 1;
    await setting.run(GRACE_MS);
    expect(setting.swept).toEqual([]);
  });

  it('does not sweep while the journal is behind, or the node is disabled', async () => {
    const setting = new Setting();
    setting.behind = true;
    await setting.run(2 * GRACE_MS);
    setting.behind = false;
    setting.registry.nodes = [aNode(NODE, { enabled: false })];
    await setting.run(2 * GRACE_MS);
    expect(setting.swept).toEqual([]);
    setting.registry.nodes = [aNode(NODE)];
    await setting.run(GRACE_MS);
    expect(setting.swept).toEqual([]);
    await setting.run(2 * INTERVAL_MS);
    expect(setting.swept).toHaveLength(1);
  });

  it('judges nothing while the broker does not tell how deep its queues are', async () => {
    const setting = new Setting();
    setting.depth = new Error('away');
    setting.clock.time += 2 * GRACE_MS;
    await expect(setting.sweeper.sweep(new AbortController().signal)).rejects.toThrow('away');
    expect(setting.askedBefore).toEqual([]);
  });

  it('only ever judges by a moment at which the queue was seen empty, a grace ago', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ waitMs: fc.nat(GRACE_MS), depth: fc.nat(2) }), { maxLength: 40 }),
        async (looks) => {
          const setting = new Setting();
          const emptyAt = new Set<number>();
          for (const { waitMs, depth } of looks) {
            setting.clock.time += waitMs;
            setting.depth = depth;
            setting.silentSince = 0;
            setting.askedBefore.length = 0;
            if (depth === 0) emptyAt.add(setting.clock.time);
            await setting.sweeper.sweep(new AbortController().signal);
            for (const before of setting.askedBefore) {
              expect(emptyAt.has(before)).toBe(true);
              expect(before).toBeLessThanOrEqual(setting.clock.time - GRACE_MS);
              expect(depth).toBe(0);
            }
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});
