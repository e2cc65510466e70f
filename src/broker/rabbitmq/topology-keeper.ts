import { setTimeout as pause } from 'node:timers/promises';
import { EventCenterError } from '../../core/errors.js';
import type { EnsureOptions, Log, NodeQueue, Topology } from '../../core/ports.js';
import { forEachLimited } from '../for-each-limited.js';
import { messageOf } from '../within.js';
import { declareDelay, declareNodeQueue, declareOwn } from './declarations.js';
import type { Names } from '../names.js';
import { closedWith } from './replies.js';
import type { RpcChannels } from './rpc-channels.js';

const AT_A_TIME = 4;
const RETRY_MS = 5000;
/**
 * An own queue that was deleted is declared again no sooner, in any process: where the name is taken again at once,
 * RabbitMQ 3.10 moves the consumers of the old queue over by itself, untold, and what it sends them never leaves it.
 */
const DELETED_FOR_MS = 1000;

export interface TopologyKeeperDeps {
  names: Names;
  log: Log;
  /** A node queue could not be declared although the broker is there. */
  onQueueFailed: (queue: string) => void;
  /** Called after node queues were declared, so that consumers waiting for one can go on. */
  onDeclared: () => void;
}

/**
 * Remembers what must be declared, and what is declared on the present connection: asking again for what is there
 * costs nothing, and a new connection declares everything again.
 */
export class TopologyKeeper {
  readonly #deps: TopologyKeeperDeps;
  /** Node queues by name, with the event types that are bound to them. */
  readonly #queues = new Map<string, Set<string>>();
  readonly #delays = new Set<number>();
  readonly #everDeclaredDelays = new Set<number>();
  /** Keys of what is declared on the present connection. */
  #declared = new Set<string>();
  #channels: RpcChannels | null = null;
  #retry: NodeJS.Timeout | null = null;

  constructor(deps: TopologyKeeperDeps) {
    this.#deps = deps;
  }

  /** Begins anew on a connection: nothing counts as declared. */
  attach(channels: RpcChannels): void {
    this.#channels = channels;
    this.#declared = new Set();
  }

  detach(): void {
    this.#channels = null;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
  }

  /** Declares the centre's own objects. Returns whether one of their queues was not there before, `afterMs` ago. */
  async declareOwn(afterMs = 0): Promise<{ created: boolean }> {
    const { names } = this.#deps;
    const channels = this.#connected();
    let created = false;
    for (const queue of [names.journal, names.outcomes, names.dead]) {
      created ||= !(await queueExists(channels, queue));
    }
    if (created && afterMs > 0) await pause(afterMs);
    await channels.run('declaring the own queues', (channel) => declareOwn(channel, names));
    return { created };
  }

  /** Declares all that was ever asked for. What fails is tried again later. */
  async declareRemembered(): Promise<void> {
    await this.#declareMissing([...this.#queues.keys()], [...this.#delays]).catch(() => undefined);
  }

  /** Declares everything again on the present connection, in case something was removed by others. */
  async repair(): Promise<{ created: boolean }> {
    this.#declared = new Set();
    const own = await this.declareOwn(DELETED_FOR_MS);
    await this.declareRemembered();
    return own;
  }

  /** @throws UNAVAILABLE naming the first object that could not be declared; the others are declared all the same. */
  async ensure({ nodeQueues, delaysMs }: Topology, { again = false, whole = false }: EnsureOptions): Promise<void> {
    const names: string[] = [];
    if (whole) {
      this.#queues.clear();
      this.#delays.clear();
    }
    for (const queue of nodeQueues) {
      const name = this.#deps.names.node(queue);
      names.push(name);
      const types = this.#remembered(name);
      for (const id of queue.eventTypeIds) types.add(id);
      if (again) this.doubt(name);
    }
    for (const delayMs of delaysMs) {
      this.#delays.add(delayMs);
      if (again) this.#declared.delete(`delay ${delayMs}`);
    }
    await this.#declareMissing(names, delaysMs);
  }

  /** Declares a node queue for a consumer; one that was deleted on purpose is not brought back. */
  async ensureForConsumer(name: string): Promise<void> {
    if (this.#queues.has(name)) await this.#declareMissing([name], []);
  }

  /** A queue may be gone: the next one who needs it declares it again. */
  doubt(name: string): void {
    for (const id of this.#queues.get(name) ?? []) this.#declared.delete(`binding ${name} ${id}`);
    this.#declared.delete(`queue ${name}`);
  }

  /** Remembers a node queue without declaring it yet. */
  remember(queue: NodeQueue): void {
    this.#remembered(this.#deps.names.node(queue));
  }

  /**
   * Declares a delay step, unless this process ever did: then it is there, and publishing to it needs no more than the
   * publishing connection.
   */
  async ensureDelay(delayMs: number): Promise<void> {
    if (this.#everDeclaredDelays.has(delayMs)) return;
    this.#delays.add(delayMs);
    await this.#declareMissing([], [delayMs]);
  }

  async unbind(queue: NodeQueue, eventTypeId: string): Promise<void> {
    const { names } = this.#deps;
    const name = names.node(queue);
    this.#queues.get(name)?.delete(eventTypeId);
    this.#declared.delete(`binding ${name} ${eventTypeId}`);
    await this.#connected().run(`unbinding ${name}`, (channel) => channel.unbindQueue(name, names.events, eventTypeId));
  }

  /** Deletes a node queue that is empty and that nobody consumes; `false` when it is neither. */
  async deleteNodeQueue(queue: NodeQueue): Promise<boolean> {
    const { names } = this.#deps;
    const name = names.node(queue);
    const channels = this.#connected();
    if (!(await queueExists(channels, name))) {
      this.#forget(name);
      return true;
    }
    // Quorum queues refuse delete-if-empty. Unbound first, so that what comes meanwhile goes to the dead queue.
    this.#declared.delete(`queue ${name}`);
    await channels.run(`unbinding ${name}`, (channel) => channel.unbindQueue(name, names.redeliver, name));
    const { messageCount, consumerCount } = await channels.run(`checking ${name}`, (channel) =>
      channel.checkQueue(name),
    );
    if (messageCount > 0 || consumerCount > 0) {
      await channels.run(`binding ${name}`, (channel) => channel.bindQueue(name, names.redeliver, name));
      return false;
    }
    this.#forget(name);
    await channels.run(`deleting ${name}`, (channel) => channel.deleteQueue(name));
    return true;
  }

  /** Names of the node queues that take events of a type, as far as this process knows. */
  boundTo(eventTypeId: string): string[] {
    return [...this.#queues].filter(([, types]) => types.has(eventTypeId)).map(([name]) => name);
  }

  /** Declares the queue of a node or of a delay step after it was deleted, if it should be there. */
  async declareAnew(name: string): Promise<void> {
    this.doubt(name);
    for (const delayMs of this.#delays) {
      if (this.#deps.names.delay(delayMs) === name) this.#declared.delete(`delay ${delayMs}`);
    }
    await this.#declareMissing([...this.#queues.keys()], [...this.#delays]);
  }

  #remembered(name: string): Set<string> {
    let types = this.#queues.get(name);
    if (types === undefined) {
      types = new Set();
      this.#queues.set(name, types);
    }
    return types;
  }

  #forget(name: string): void {
    this.doubt(name);
    this.#queues.delete(name);
  }

  #connected(): RpcChannels {
    if (this.#channels === null) throw new EventCenterError('UNAVAILABLE', 'the broker is not connected');
    return this.#channels;
  }

  async #declareMissing(queues: string[], delaysMs: number[]): Promise<void> {
    const missingDelays = delaysMs.filter((delayMs) => !this.#declared.has(`delay ${delayMs}`));
    const missingQueues = queues.filter((name) => !this.#isDeclared(name));
    if (missingDelays.length === 0 && missingQueues.length === 0) return;
    this.#connected();
    const errors = [
      ...(await forEachLimited(missingDelays, AT_A_TIME, (delayMs) => this.#declareDelay(delayMs))),
      ...(await forEachLimited(missingQueues, AT_A_TIME, (name) => this.#declareQueue(name))),
    ];
    if (missingQueues.length > 0) this.#deps.onDeclared();
    if (errors.length === 0) return;
    this.#retryLater();
    const failed = `${errors.length} of ${missingDelays.length + missingQueues.length} queues could not be declared`;
    throw new EventCenterError('UNAVAILABLE', `${failed}: ${messageOf(errors[0])}`, { cause: errors[0] });
  }

  #isDeclared(name: string): boolean {
    if (!this.#declared.has(`queue ${name}`)) return false;
    for (const id of this.#queues.get(name) ?? []) {
      if (!this.#declared.has(`binding ${name} ${id}`)) return false;
    }
    return true;
  }

  async #declareDelay(delayMs: number): Promise<void> {
    const declared = this.#declared;
    const what = `declaring the delay of ${delayMs} ms`;
    await this.#connected().run(what, (channel) => declareDelay(channel, this.#deps.names, delayMs));
    declared.add(`delay ${delayMs}`);
    this.#everDeclaredDelays.add(delayMs);
  }

  async #declareQueue(name: string): Promise<void> {
    const { names } = this.#deps;
    // Kept, because a new connection may replace it while this one is being asked.
    const declared = this.#declared;
    const channels = this.#connected();
    try {
      if (!declared.has(`queue ${name}`)) {
        await channels.run(`declaring ${name}`, (channel) => declareNodeQueue(channel, names, name));
        declared.add(`queue ${name}`);
      }
      for (const id of this.#queues.get(name) ?? []) {
        const key = `binding ${name} ${id}`;
        if (declared.has(key)) continue;
        await channels.run(`binding ${name}`, (channel) => channel.bindQueue(name, names.events, id));
        declared.add(key);
      }
    } catch (error) {
      if (this.#channels === channels) {
        this.#deps.log.warn('broker.declare.failed', { queue: name, error: messageOf(error) });
        // With other arguments it is somebody else's queue, and alive.
        if (!closedWith(error, 'PRECONDITION_FAILED')) this.#deps.onQueueFailed(name);
      }
      throw error;
    }
  }

  #retryLater(): void {
    if (this.#retry !== null || this.#channels === null) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      void this.declareRemembered();
    }, RETRY_MS);
  }
}

/** Whether a queue exists, by a passive declaration. */
async function queueExists(channels: RpcChannels, name: string): Promise<boolean> {
  try {
    await channels.run(`checking ${name}`, (channel) => channel.checkQueue(name));
    return true;
  } catch (error) {
    if (closedWith(error, 'NOT_FOUND')) return false;
    throw error;
  }
}
