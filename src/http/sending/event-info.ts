import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../../core/accepting/authenticate.js';
import { invalidField } from '../../core/errors.js';
import type { EventType, Listener, ListenerRevision, Node } from '../../core/model.js';
import type { RegistrySnapshot, RegistryView } from '../../core/registry/registry.js';
import { topologyOf } from '../../core/registry/topology.js';
import { answerData } from './answer.js';
import type { PlainHandler } from './event-manager.js';
import { readSignedRequest } from './signed-request.js';

export interface EventInfoDeps {
  authenticator: Authenticator;
  registry: RegistryView;
  /** What of the configuration a process that runs plugins has to know. */
  options: {
    defaultDelaysMs: number[];
    /** Begins the names of queues and exchanges. */
    brokerPrefix: string;
  };
}

/**
 * `GET {context}/eventmanager/eventinfo/index.do?nodeCode=&ts=`: what the signing node has registered — the event types
 * that it owns or listens to, and its listeners, without their secrets — and what a process that runs its plugins needs
 * besides. 304 for a caller that has it already.
 */
export function eventInfo({ authenticator, registry, options }: EventInfoDeps): PlainHandler {
  const configHash = createHash('sha256').update(JSON.stringify(options)).digest('hex').slice(0, 8);
  return {
    method: 'GET',
    handle: async (req, res, target) => {
      const request = readSignedRequest(req, target, null);
      const nodeCode = request.query.values.get('nodeCode') ?? null;
      const { nodeCode: signing } = await authenticator.authenticate({
        ...request,
        appId: request.appId ?? nodeCode,
      });
      if (nodeCode !== null && nodeCode !== signing) {
        throw invalidField('nodeCode', 'expected the application that signs, which sees only its own');
      }
      const snapshot = registry.current();
      const etag = `"${String(snapshot.version)}-${configHash}"`;
      res.setHeader('ETag', etag);
      if (isKnown(req, etag)) answerUnchanged(res);
      else answerData(res, { ...registrationsOf(snapshot, signing), ...hostingOf(snapshot, signing, options) });
    },
  };
}

function isKnown(req: IncomingMessage, etag: string): boolean {
  const known = (req.headers['if-none-match'] ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return known.includes(etag) || known.includes('*');
}

function answerUnchanged(res: ServerResponse): void {
  res.writeHead(304);
  res.end();
}

/** What a process that runs the node's plugins needs beside its registrations. */
function hostingOf(
  snapshot: RegistrySnapshot,
  nodeCode: string,
  { defaultDelaysMs, brokerPrefix }: EventInfoDeps['options'],
): Record<string, unknown> {
  const node = snapshot.node(nodeCode);
  const revisions = snapshot.data.revisions.filter((one) => one.nodeCode === nodeCode && one.kind === 'plugin');
  return {
    node: node === null ? null : describeNode(node),
    revisions: revisions.map(describeRevision),
    defaultDelaysMs,
    delaysMs: topologyOf(snapshot.data, defaultDelaysMs).delaysMs,
    brokerPrefix,
  };
}

function describeNode(node: Node): Record<string, unknown> {
  const { nodeCode, enabled, onExhausted, concurrency, deliverRateLimit } = node;
  return { nodeCode, enabled, onExhausted, concurrency, deliverRateLimit };
}

function describeRevision(revision: ListenerRevision): Record<string, unknown> {
  const { listenerId, listenerName, eventTypeId, operIndex } = revision;
  const { fromVersion, toVersion, closedAt, tenantCode, filter } = revision;
  return { listenerId, listenerName, eventTypeId, operIndex, fromVersion, toVersion, closedAt, tenantCode, filter };
}

function registrationsOf(snapshot: RegistrySnapshot, nodeCode: string): Record<string, unknown> {
  const listeners = snapshot.data.listeners.filter((listener) => listener.nodeCode === nodeCode);
  const listenedTo = new Set(listeners.map((listener) => listener.eventTypeId));
  const types = snapshot.data.eventTypes.filter((type) => type.owner === nodeCode || listenedTo.has(type.id));
  return {
    version: snapshot.version,
    eventTypes: types.map(describeType),
    listeners: listeners.map((listener) => describeListener(listener, snapshot.eventType(listener.eventTypeId))),
  };
}

function describeType(type: EventType): Record<string, unknown> {
  const { id, sourceId, sourceName, eventTypeCode, eventTypeName, owner, note, schema, version } = type;
  return { id, sourceId, sourceName, eventTypeCode, eventTypeName, owner, note, schema, version };
}

function describeListener(listener: Listener, type: EventType | null): Record<string, unknown> {
  const { id, name, namei18n, eventTypeId, url, implClassName, operIndex, enabled, owner, note } = listener;
  const { tenantCode, filter, format, timeoutMs, retry, version } = listener;
  return {
    id,
    name,
    namei18n,
    eventTypeId,
    sourceId: type?.sourceId ?? null,
    eventTypeCode: type?.eventTypeCode ?? null,
    url,
    implClassName,
    operIndex,
    enabled,
    owner,
    note,
    tenantCode,
    filter,
    format,
    timeoutMs,
    retry,
    version,
  };
}
