/** Registers what an example needs, or takes it over from an earlier run. */
import { randomBytes } from 'node:crypto';

/**
 * Makes the node ready for this run. One that is there already gets new keys, since the centre does not show old ones.
 * @returns {Promise<{ nodeCode: string, appKey: string, clientKey: string }>} `appKey` signs what the node sends,
 *   `clientKey` what it is sent.
 */
export async function registerNode(api, { nodeCode, nodeName }) {
  const clientKey = randomBytes(20).toString('base64');
  const created = await unlessTaken(api.call('POST', '/nodes', { nodeCode, nodeName, clientKey }));
  if (created !== null) return { nodeCode, appKey: created.appKey, clientKey };
  await api.call('PATCH', `/nodes/${nodeCode}`, { nodeName, clientKey, enabled: true });
  const { appKey } = await api.call('POST', `/nodes/${nodeCode}/rotate-key`, { graceMs: 0 });
  return { nodeCode, appKey, clientKey };
}

/** Registers the event type unless it is there. @returns its registration. */
export async function registerEventType(api, type) {
  const created = await unlessTaken(api.call('POST', '/event-types', type));
  if (created !== null) return created;
  const { sourceId, eventTypeCode } = type;
  const [found] = await api.all(`/event-types?${new URLSearchParams({ sourceId, eventTypeCode }).toString()}`);
  return found;
}

/**
 * Registers the listener; one of the same name, node and event type is changed to what is given.
 * @returns its registration.
 */
export async function registerListener(api, { name, nodeCode, eventTypeId, ...fields }) {
  const registered = await api.all(`/listeners?${new URLSearchParams({ nodeCode, eventTypeId }).toString()}`);
  const earlier = registered.find((listener) => listener.name === name);
  if (earlier === undefined) return api.call('POST', '/listeners', { name, nodeCode, eventTypeId, ...fields });
  return api.call('PATCH', `/listeners/${earlier.id}`, { ...fields, enabled: true });
}

/** What was created, null when it was there before. */
async function unlessTaken(creation) {
  try {
    return await creation;
  } catch (error) {
    if (error.code === 'CONFLICT') return null;
    throw error;
  }
}
