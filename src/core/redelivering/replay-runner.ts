import { hasCode } from '../errors.js';
import { uuidV7 } from '../ids.js';
import { Periodic, sleep, type Sleep, type TaskResult } from '../periodic.js';
import type { Clock, Log, Replay, ReplayLease, ReplayProgress, ReplayStore } from '../ports.js';
import type { Redelivery } from './redelivery.js';
import type { RegistryView } from '../registry/registry.js';
import { boundedFilter, countUnits, publishUnits, type ReplayScope } from './replay.js';

export interface ReplayRunnerDeps {
  store: ReplayStore;
  redelivery: Pick<Redelivery, 'raise'>;
  registry: RegistryView;
  log: Log;
  clock: Clock;
  /** How often it looks for replays to run. */
  pollMs?: number;
  sleep?: Sleep;
}

const POLL_MS = 500;
/** A replay whose runner died is taken over after this time. */
const LEASE_MS = 30_000;
/** A replay that met an outage is tried again after this time. */
const RETRY_MS = 5_000;
/** While waiting, the runner looks this often whether the replay was cancelled. */
const HEARTBEAT_MS = 400;
/** After a wait of this length too, before it publishes more. */
const LOOK_AFTER_MS = 50;
const AT_A_TIME = 4;
/** How long a replay may go on while others wait for their turn. */
const TURN_MS = 5_000;
const PAGE = 200;
/** Events between two looks at the replay: what a crash can repeat at most. */
const STEP = 20;

/**
 * Runs replays: counts first what the filter matches, then publishes it, step by step. Each step keeps its progress, so
 * a replay goes on after a crash, in this worker or another one, and repeats at most one step. A cancelled replay ends
 * with the step under way. While others wait, each has its turn. An outage of broker or database makes it wait, not fail.
 */
export class ReplayRunner {
  readonly #deps: ReplayRunnerDeps;
  readonly #sleep: Sleep;
  readonly #owner = uuidV7();
  readonly #loop: Periodic;
  readonly #running = new Map<string, Promise<void>>();
  #othersWait = false;

  constructor(deps: ReplayRunnerDeps) {
    this.#deps = deps;
    this.#sleep = deps.sleep ?? sleep;
    this.#loop = new Periodic({
      name: 'replay',
      intervalMs: deps.pollMs ?? POLL_MS,
      log: deps.log,
      task: (signal) => this.look(signal),
    });
  }

  start(): void {
    this.#loop.start();
  }

  /** Ends the steps under way and gives the replays back. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.settled();
  }

  /** Takes replays that nobody runs, and begins to run them. */
  async look(signal: AbortSignal): Promise<TaskResult> {
    const { store, clock } = this.#deps;
    while (this.#running.size < AT_A_TIME && !signal.aborted) {
      const now = clock.now();
      const taken = await store.take(this.#owner, now, now + LEASE_MS);
      if (taken === null) break;
      const { replay, progress } = taken;
      const run = this.#run(replay, progress, signal).finally(() => this.#running.delete(replay.id));
      this.#running.set(replay.id, run);
    }
    this.#othersWait = this.#running.size >= AT_A_TIME && (await store.isAnyFree(clock.now()));
    return 'idle';
  }

  /** Resolves when no replay is running here. */
  async settled(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  /** Never rejects. */
  async #run(replay: Replay, progress: ReplayProgress, signal: AbortSignal): Promise<void> {
    const { store, log, clock } = this.#deps;
    const isTurnOver = turnOf(clock, () => this.#othersWait);
    const own = { sleep: this.#sleep, owner: this.#owner, mustEnd: () => signal.aborted || isTurnOver(), signal };
    const run = new ReplayRun(replay, progress, { ...this.#deps, ...own });
    try {
      const ended = await run.run();
      if (ended !== 'done') {
        log.info(`replay.${ended}`, { replayId: replay.id });
        return;
      }
      await store.finish(run.lease(0), { state: 'done', error: null, at: clock.now() });
      log.info('replay.finished', { replayId: replay.id, ...run.progress });
    } catch (error) {
      await this.#interrupted(run, error);
    }
  }

  async #interrupted(run: ReplayRun, error: unknown): Promise<void> {
    const { store, log, clock } = this.#deps;
    const replayId = run.replay.id;
    try {
      if (hasCode(error, 'UNAVAILABLE')) {
        log.warn('replay.interrupted', { replayId, error });
        await store.advance(run.lease(RETRY_MS), run.progress);
        return;
      }
      log.error('replay.failed', { replayId, error });
      const message = error instanceof Error ? error.message : String(error);
      await store.finish(run.lease(0), { state: 'failed', error: message, at: clock.now() });
    } catch (storeError) {
      log.warn('replay.left-to-lease', { replayId, error: storeError });
    }
  }
}

interface ReplayRunDeps extends ReplayRunnerDeps {
  sleep: Sleep;
  owner: string;
  /** Whether to give the replay back, as soon as a step is kept. */
  mustEnd: () => boolean;
  signal: AbortSignal;
}

/** Whether a turn that begins now is over. */
function turnOf(clock: Clock, othersWait: () => boolean): () => boolean {
  const begunAt = clock.now();
  return () => othersWait() && clock.now() - begunAt >= TURN_MS;
}

/** One replay in the hands of this worker. */
class ReplayRun {
  readonly replay: Replay;
  progress: ReplayProgress;
  readonly #deps: ReplayRunDeps;
  /** When the rate allows the next step. */
  #nextAt = 0;

  constructor(replay: Replay, progress: ReplayProgress, deps: ReplayRunDeps) {
    this.replay = replay;
    this.progress = progress;
    this.#deps = deps;
  }

  lease(forMs: number): ReplayLease {
    return { id: this.replay.id, owner: this.#deps.owner, until: this.#deps.clock.now() + forMs };
  }

  /** `lost`: it was cancelled or taken over; `given-back`: this worker stops, or it is the turn of another. */
  async run(): Promise<'done' | 'lost' | 'given-back'> {
    const { store, registry, mustEnd } = this.#deps;
    const filter = boundedFilter(this.replay);
    for (;;) {
      const { phase, cursor } = this.progress;
      const page = await store.match(filter, { limit: PAGE, cursor });
      const scope: ReplayScope = { ...this.#deps, replay: this.replay, snapshot: registry.current() };
      const step = phase === 'counting' ? PAGE : this.#stepSize();
      for (let at = 0; at < page.length; at += step) {
        const events = page.slice(at, at + step);
        const begunAt = this.#deps.clock.now();
        const counts = phase === 'counting' ? await countUnits(scope, events) : await publishUnits(scope, events);
        if (!(await this.#keep(phase, { counts, cursor: events.at(-1)?.cursor ?? cursor }))) return 'lost';
        if (phase === 'publishing' && !(await this.#pace(counts.done, begunAt))) return 'lost';
        if (mustEnd()) return this.#giveBack();
      }
      if (page.length > 0) continue;
      if (phase === 'publishing' || this.replay.dryRun) return 'done';
      if (!(await this.#keep('publishing', { counts: { matched: 0, done: 0, failed: 0 }, cursor: null })))
        return 'lost';
    }
  }

  /** A tenth of a second's worth under a rate. */
  #stepSize(): number {
    const { ratePerSecond } = this.replay;
    return ratePerSecond === null ? STEP : Math.min(STEP, Math.max(1, Math.floor(ratePerSecond / 10)));
  }

  async #keep(
    phase: ReplayProgress['phase'],
    { counts, cursor }: { counts: Pick<ReplayProgress, 'matched' | 'done' | 'failed'>; cursor: string | null },
  ): Promise<boolean> {
    const { matched, done, failed } = this.progress;
    const progress = {
      phase,
      cursor,
      matched: matched + counts.matched,
      done: done + counts.done,
      failed: failed + counts.failed,
    };
    const kept = await this.#deps.store.advance(this.lease(LEASE_MS), progress);
    if (kept) this.progress = progress;
    return kept;
  }

  /** Waits until the rate allows more than what was published since; false when the replay is lost meanwhile. */
  async #pace(published: number, begunAt: number): Promise<boolean> {
    const { clock, store, mustEnd, signal } = this.#deps;
    const { ratePerSecond } = this.replay;
    if (ratePerSecond === null) return true;
    this.#nextAt = Math.max(this.#nextAt, begunAt) + (published * 1000) / ratePerSecond;
    for (;;) {
      const waitMs = this.#nextAt - clock.now();
      if (waitMs <= 0 || mustEnd()) return true;
      await this.#deps.sleep(Math.min(waitMs, HEARTBEAT_MS), signal);
      if (waitMs >= LOOK_AFTER_MS && !(await store.advance(this.lease(LEASE_MS), this.progress))) return false;
    }
  }

  async #giveBack(): Promise<'given-back'> {
    const waitMs = Math.max(0, this.#nextAt - this.#deps.clock.now());
    await this.#deps.store.advance(this.lease(waitMs), this.progress);
    return 'given-back';
  }
}
