import type { Authenticator } from '../../core/authenticate.js';
import { invalidField } from '../../core/errors.js';
import type { EventType, Listener } from '../../core/model.js';
import type { RegistrySnapshot, RegistryView } from '../../core/registry.js';
import { answerData } from './answer.js';
import type { PlainHandler } from './event-manager.js';
import { readSignedRequest } from './signed-request.js';

/**
 * `GET {context}/eventmanager/eventinfo/index.do?nodeCode=&ts=`: what the signing node has registered — the event types
 * that it owns or listens to, and its listeners, without their secrets.
 */
export function eventInfo(deps: { authenticator: Authenticator; registry: RegistryView }): PlainHandler {
  return {
    method: 'GET',
    handle: async (req, res, target) => {
      const request = readSignedRequest(req, target, null);
      const nodeCode = request.query.values.get('nodeCode') ?? null;
      const node = await deps.authenticator.authenticate({ ...request, appId: request.appId ?? nodeCode });
      if (nodeCode !== null && nodeCode !== node.nodeCode) {
        throw invalidField('nodeCode', 'expected the application that signs, which sees only its own');
      }
      answerData(res, registrationsOf(deps.registry.current(), node.nodeCode));
    },
  };
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
