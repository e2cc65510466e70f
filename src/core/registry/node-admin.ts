import { expectKey, generateKey, keyWarning, livePreviousKeys } from './app-key.js';
import { EventCenterError, type FieldError } from '../errors.js';
import { expectText, expectWhole, FieldProblems, rulesBrokenIn } from '../field-problems.js';
import { BUILT_IN_NODE_CODE, OWNER_ALL, type EventType, type Node, type PreviousKey } from '../model.js';
import type { Actor, RegistryWriter } from '../ports.js';
import {
  auditChange,
  changeRegistry,
  conflictAt,
  expectUnused,
  expectVersion,
  listenerUse,
  withChanges,
  type Changes,
  type ExpectedVersion,
  type OrDefault,
  type RegistryAdminDeps,
  type Use,
} from './registry-change.js';
import {
  CONCURRENCY,
  DEFAULT_GRACE_MS,
  GRACE_MS,
  NAME_LENGTH,
  NODE_CODE,
  NODE_CODE_RULE,
  NOTE_LENGTH,
  PREVIOUS_KEYS,
  RATE,
} from './registry-limits.js';
import { isUnreadable } from './unreadable-secret.js';

/** What of a node can be set back to a default. */
type NodeDefaults = Pick<Node, 'algorithm' | 'contentLength' | 'onExhausted' | 'concurrency'>;

/** What of a node can be changed. */
type NodeFields = Pick<Node, 'nodeName' | 'note' | 'enabled' | 'sendRateLimit' | 'deliverRateLimit'> &
  OrDefault<NodeDefaults> & { clientKey: string | null };

export type NodeChanges = Changes<NodeFields>;

export interface NewNode extends NodeChanges {
  nodeCode: string;
  /** A key that the application has already; one is made when left out. */
  appKey?: string | undefined;
}

export interface NodeRef {
  nodeCode: string;
  expectedVersion: ExpectedVersion;
}

/** A node as it was saved, and what is allowed but unwise about it. */
export interface SavedNode {
  node: Node;
  warnings: string[];
}

/** A node with the key that it was just given. */
export interface KeyedNode extends SavedNode {
  appKey: string;
}

/** Registers applications (`pub_event_node`) and rotates their keys. */
export class NodeAdmin {
  readonly #deps: RegistryAdminDeps;

  constructor(deps: RegistryAdminDeps) {
    this.#deps = deps;
  }

  /** @throws INVALID_PARAM; CONFLICT when the code is taken; UNAVAILABLE. */
  async create(actor: Actor, input: NewNode): Promise<KeyedNode> {
    const { nodeCode, appKey = generateKey(), ...changes } = input;
    const node = this.#checked({ ...changes, nodeCode, appKey });
    return changeRegistry(this.#deps, actor, async (writer) => {
      if ((await writer.findNode(nodeCode)) !== null)
        throw conflictAt('nodeCode', `there is a node ${nodeCode} already`);
      await writer.saveNode(node);
      await auditChange(writer, { kind: 'node', id: nodeCode }, { action: 'created', asked: input });
      return {
        node,
        appKey,
        warnings: keyWarnings([
          ['appKey', appKey],
          ['clientKey', changes.clientKey ?? null],
        ]),
      };
    });
  }

  /** The rules that these fields of a node break by themselves; what is left out or undefined breaks none. */
  rulesBroken(given: Changes<NewNode>): FieldError[] {
    const { nodeCode = 'A', appKey = generateKey(), ...changes } = given;
    return rulesBrokenIn(() => this.#checked({ ...changes, nodeCode, appKey }));
  }

  /** Changes the fields given. @throws NOT_FOUND, INVALID_PARAM, VERSION_MISMATCH, UNAVAILABLE. */
  async update(actor: Actor, ref: NodeRef, changes: NodeChanges): Promise<SavedNode> {
    return changeRegistry(this.#deps, actor, async (writer) => {
      const current = await findNode(writer, ref);
      const node: Node = { ...withChanges(current, changes, this.#defaults), ...this.#next(current) };
      checkNode(node, changes.clientKey === undefined ? [] : ['clientKey']);
      await writer.saveNode(node);
      await auditChange(writer, { kind: 'node', id: node.nodeCode }, { action: 'updated', asked: changes });
      return { node, warnings: keyWarnings([['clientKey', changes.clientKey ?? null]]) };
    });
  }

  /**
   * Gives the node another key. The present one stays good for `graceMs` if it can be read, and those from earlier
   * rotations for what was promised then; with a `graceMs` of 0 all of them end now.
   * @throws NOT_FOUND, INVALID_PARAM, VERSION_MISMATCH, UNAVAILABLE; CONFLICT when there would be too many good keys.
   */
  async rotateKey(
    actor: Actor,
    ref: NodeRef,
    request: { graceMs?: number | undefined; appKey?: string | undefined },
  ): Promise<KeyedNode> {
    const { graceMs = DEFAULT_GRACE_MS, appKey = generateKey() } = request;
    checkRotation({ graceMs, appKey });
    return changeRegistry(this.#deps, actor, async (writer) => {
      const current = await findNode(writer, ref);
      if (current.appKey === appKey) throw conflictAt('appKey', 'the node has this key already');
      const next = this.#next(current);
      const previousKeys = keysBefore({ current, appKey, graceMs, now: next.lastTime });
      const node: Node = { ...current, ...next, appKey, previousKeys };
      await writer.saveNode(node);
      await auditChange(
        writer,
        { kind: 'node', id: node.nodeCode },
        { action: 'key-rotated', asked: { ...request, graceMs } },
      );
      return { node, appKey, warnings: keyWarnings([['appKey', appKey]]) };
    });
  }

  /** The rules that these fields of a rotation break. */
  rotationRulesBroken(given: { graceMs?: number | undefined; appKey?: string | undefined }): FieldError[] {
    const { graceMs = DEFAULT_GRACE_MS, appKey = generateKey() } = given;
    return rulesBrokenIn(() => {
      checkRotation({ graceMs, appKey });
    });
  }

  /**
   * Deletes a node and ends its tokens.
   * @throws NOT_FOUND, VERSION_MISMATCH, UNAVAILABLE; IN_USE while it has listeners or owns event types.
   */
  async delete(actor: Actor, ref: NodeRef): Promise<void> {
    await changeRegistry(this.#deps, actor, async (writer) => {
      const { nodeCode } = await findNode(writer, ref);
      const listeners = await writer.listenersOfNode(nodeCode);
      const eventTypes = await writer.eventTypesOwnedBy(nodeCode);
      expectUnused(`node ${nodeCode}`, [...listeners.map(listenerUse), ...eventTypes.map(eventTypeUse)]);
      await writer.deleteNode(nodeCode);
      // Else they would reach a node that is registered under this code later.
      const revokedTokens = await writer.revokeTokensOf(nodeCode);
      await auditChange(writer, { kind: 'node', id: nodeCode }, { action: 'deleted', asked: { revokedTokens } });
    });
  }

  /** A new node. @throws INVALID_PARAM. */
  #checked({ nodeCode, appKey, ...changes }: NewNode & { appKey: string }): Node {
    const blank: Node = {
      nodeCode,
      nodeName: null,
      note: null,
      appKey,
      previousKeys: [],
      clientKey: null,
      enabled: true,
      sendRateLimit: null,
      deliverRateLimit: null,
      version: 1,
      lastTime: this.#deps.clock.now(),
      ...this.#defaults,
    };
    const node = withChanges(blank, changes, this.#defaults);
    checkNode(node, ['appKey', 'clientKey']);
    return node;
  }

  get #defaults(): NodeDefaults {
    return {
      algorithm: 'HmacSHA1',
      contentLength: 'exact',
      onExhausted: 'continue',
      concurrency: this.#deps.defaultConcurrency,
    };
  }

  #next(current: Node): { version: number; lastTime: number } {
    return { version: current.version + 1, lastTime: this.#deps.clock.now() };
  }
}

/** @throws INVALID_PARAM naming every field that is wrong; keys are checked only when they were given. */
function checkNode(node: Node, givenKeys: ('appKey' | 'clientKey')[]): void {
  const problems = new FieldProblems();
  problems.expect(NODE_CODE.test(node.nodeCode), 'nodeCode', NODE_CODE_RULE);
  const reserved = [BUILT_IN_NODE_CODE, OWNER_ALL];
  problems.expect(
    !reserved.includes(node.nodeCode.toUpperCase()),
    'nodeCode',
    `${reserved.join(' and ')} are reserved, in any case of letters`,
  );
  expectText(problems, { path: 'nodeName', text: node.nodeName }, { max: NAME_LENGTH });
  expectText(problems, { path: 'note', text: node.note }, { min: 0, max: NOTE_LENGTH, multiline: true });
  expectWhole(problems, { path: 'concurrency', value: node.concurrency }, CONCURRENCY);
  expectWhole(problems, { path: 'sendRateLimit', value: node.sendRateLimit }, RATE);
  expectWhole(problems, { path: 'deliverRateLimit', value: node.deliverRateLimit }, RATE);
  for (const path of givenKeys) {
    const key = node[path];
    if (typeof key === 'string') expectKey(problems, path, key);
  }
  problems.throwIfAny();
}

function checkRotation({ graceMs, appKey }: { graceMs: number; appKey: string }): void {
  const problems = new FieldProblems();
  expectWhole(problems, { path: 'graceMs', value: graceMs }, GRACE_MS);
  expectKey(problems, 'appKey', appKey);
  problems.throwIfAny();
}

/** There is no such node, or none that the caller may know of. */
export function noSuchNode(nodeCode: string): EventCenterError {
  return new EventCenterError('NOT_FOUND', `there is no node ${nodeCode}`);
}

async function findNode(writer: RegistryWriter, ref: NodeRef): Promise<Node> {
  const node = await writer.findNode(ref.nodeCode);
  if (node === null) throw noSuchNode(ref.nodeCode);
  expectVersion(node, ref.expectedVersion);
  return node;
}

/** The keys that stay good beside the new one, the newest first. @throws CONFLICT when they are too many. */
function keysBefore(rotation: { current: Node; appKey: string; graceMs: number; now: number }): PreviousKey[] {
  const { current, appKey, graceMs, now } = rotation;
  if (graceMs === 0) return [];
  const earlier = livePreviousKeys(current, now).filter(({ key }) => key !== appKey);
  if (isUnreadable(current.appKey)) return earlier;
  if (earlier.length >= PREVIOUS_KEYS) {
    const firstEnd = new Date(Math.min(...earlier.map(({ expiresAt }) => expiresAt))).toISOString();
    throw conflictAt(
      'graceMs',
      `the node has ${earlier.length} earlier keys that are still good, one of them until ${firstEnd}: rotate after that, or with 0, which ends all of them at once`,
    );
  }
  return [{ key: current.appKey, expiresAt: now + graceMs }, ...earlier];
}

function keyWarnings(keys: [path: string, key: string | null][]): string[] {
  return keys.flatMap(([path, key]) => (key === null ? [] : (keyWarning(path, key) ?? [])));
}

function eventTypeUse(type: EventType): Use {
  return { kind: 'event-type', id: type.id, name: type.eventTypeName ?? `${type.sourceId} ${type.eventTypeCode}` };
}
