import fc from 'fast-check';
import { AssuredPublisher } from '../../src/core/delivering/assured-publish.js';
import { CallGate } from '../../src/core/delivering/call-gate.js';
import { CircuitBreaker } from '../../src/core/delivering/circuit-breaker.js';
import { Deliverer } from '../../src/core/delivering/deliver.js';
import type { EventMessage, Outcome } from '../../src/core/model.js';
import { OutcomeBatches } from '../../src/core/delivering/outcome-batches.js';
import type { Received, Settlement } from '../../src/core/ports.js';
import { fixedRegistry } from '../../src/core/registry/registry.js';
import { FakeClaims, FakeParked, ManualClock, Recorder, ScriptedCaller } from '../support/delivery-fakes.js';
import { aListener, anEvent, aSnapshot } from '../support/registry-fixtures.js';

const NEVER = new AbortController().signal;
const never = new Promise<never>(() => undefined);

interface Plan {
  /** For each listener, how its attempts end; then it succeeds. */
  failures: number[];
  /** After how many operations, counted from the crash before, the process dies; even: before it took effect. */
  crashes: number[];
  /** Outcomes reach the store at once, or only at the very end. */
  recordsAtOnce: boolean;
}

/** A queue, a store and processes that die and are started again, until the queue is empty. */
class World {
  readonly clock = new ManualClock();
  readonly claims = new FakeClaims();
  readonly caller = new ScriptedCaller(this.clock);
  readonly outcomes: Outcome[] = [];
  readonly #queue: (Received<EventMessage> & { readyAt: number })[] = [];
  readonly #plan: Plan;
  readonly #crashes: number[];
  #untilCrash = 0;
  #crash: (() => void) | null = null;
  #life = 0;
  #messages = 0;
  crashed = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#crashes = [...plan.crashes];
    this.#untilCrash = this.#crashes.shift() ?? Infinity;
    const made = new Map<string, number>();
    this.caller.script = async ({ listener }) => {
      const attempts = (made.get(listener.id) ?? 0) + 1;
      made.set(listener.id, attempts);
      await this.#operation(() => undefined);
      return attempts > plan.failures[listener.operIndex]! ? 'success' : 'refused';
    };
    this.#enqueue({ event: anEvent('E'), chain: null, claimSteps: false }, 0);
  }

  async run(): Promise<void> {
    for (let rounds = 0; rounds < 500; rounds += 1) {
      this.#queue.sort((a, b) => a.readyAt - b.readyAt);
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.clock.time = Math.max(this.clock.time, next.readyAt);
      const settlement = await this.#process(next);
      if (settlement === 'requeue') this.#queue.push({ ...next, redelivered: true });
      else expect(settlement).toBe('ack');
    }
    throw new Error('the chain never ends');
  }

  /** One life of a process, with one message in hand. */
  async #process(message: Received<EventMessage>): Promise<Settlement> {
    const crashed = new Promise<Settlement>((resolve) => {
      this.#crash = () => resolve('requeue');
    });
    this.#life += 1;
    const recorder = new Recorder();
    const broker = {
      publishToNode: (_: unknown, successor: EventMessage, delayMs: number) =>
        this.#operation(() => this.#enqueue(successor, delayMs)),
      publishOutcomes: (outcomes: Outcome[]) => this.#operation(() => this.#record(outcomes)),
      publishEvent: () => this.#operation(() => undefined),
    };
    const clock = this.clock;
    const shared = { clock, log: recorder, metrics: recorder };
    const publisher = new AssuredPublisher({
      ...shared,
      broker,
      parked: new FakeParked(),
      patienceMs: 0,
      onStuck: () => undefined,
      signal: NEVER,
    });
    const deliverer = new Deliverer({
      kind: 'url',
      ...shared,
      registry: fixedRegistry(
        aSnapshot({ listeners: this.#plan.failures.map((_, index) => aListener(`L${index}`, { operIndex: index })) }),
      ),
      claims: this.claims,
      caller: this.caller,
      breaker: new CircuitBreaker({ clock, threshold: 100, probeMs: 1 }),
      publisher,
      outcomes: new OutcomeBatches({
        publish: (batch, giveUpAt) => publisher.outcomes(batch, giveUpAt),
        lingerMs: 0,
        maxOutcomes: 1,
        maxCharacters: 1,
      }),
      disableListener: async () => undefined,
      defaultDelaysMs: [10, 20],
      maxHoldMs: 600_000,
      signal: NEVER,
    });
    const gate = new CallGate(clock, { concurrency: 1, ratePerSecond: null });
    const settlement = await Promise.race([deliverer.deliver(message, { nodeCode: 'A', gate }), crashed]);
    // What was not done before the ack is never done: the process may have died right after it.
    this.#life += 1;
    return settlement;
  }

  async #operation(effect: () => void): Promise<void> {
    const life = this.#life;
    await new Promise((resolve) => setImmediate(resolve));
    if (life !== this.#life) await never;
    this.#untilCrash -= 1;
    if (this.#untilCrash > 0) {
      effect();
      return;
    }
    if (this.#untilCrash === 0) {
      this.crashed += 1;
      if (this.#crashes.length % 2 === 0) effect();
      this.#untilCrash = this.#crashes.shift() ?? Infinity;
      this.#crash?.();
    }
    await never;
  }

  #enqueue(message: EventMessage, delayMs: number): void {
    this.#messages += 1;
    this.#queue.push({
      message,
      messageId: `m${this.#messages}`,
      redelivered: false,
      bytes: 1,
      readyAt: this.clock.time + delayMs,
    });
  }

  #record(outcomes: Outcome[]): void {
    this.outcomes.push(...outcomes);
    if (this.#plan.recordsAtOnce) for (const outcome of outcomes) this.claims.record(outcome);
  }
}

describe('a process that dies at any moment', () => {
  const plans = fc.record({
    failures: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 4 }),
    crashes: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 5 }),
    recordsAtOnce: fc.boolean(),
  });

  it('loses no listener, keeps the order, and repeats no more than its deaths explain', async () => {
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const world = new World(plan);
        await world.run();
        const ends = new Map<string, Set<string>>();
        for (const { listenerId, state } of world.outcomes) {
          if (state !== 'retrying') ends.set(listenerId, (ends.get(listenerId) ?? new Set()).add(state));
        }
        const listeners = plan.failures.map((_, index) => `L${index}`);
        expect([...ends.keys()].sort()).toEqual(listeners);
        for (const [index, failures] of plan.failures.entries()) {
          const calls = world.caller.calls.filter(({ listenerId }) => listenerId === `L${index}`);
          // Three attempts are allowed; a death may repeat one call of each listener that its message had passed.
          expect(calls.length).toBeLessThanOrEqual(Math.min(3, failures + 1) + world.crashed);
          for (const { attempt } of calls) expect(attempt).toBeLessThanOrEqual(3);
        }
        if (world.crashed === 0) {
          expect(world.caller.calls.map(({ listenerId }) => listenerId)).toEqual(
            world.caller.calls.map(({ listenerId }) => listenerId).sort(),
          );
          for (const states of ends.values()) expect(states.size).toBe(1);
        }
      }),
      { numRuns: 400 },
    );
  });
});
