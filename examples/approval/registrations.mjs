/** What the centre has to know: three applications, ten event types, and who listens to which. */
import { join } from 'node:path';
import { importCatalogue, readCatalogue } from '../../scripts/import-catalogue.mjs';
import { registerListener, registerNode } from '../../scripts/register.mjs';

const CATALOGUE = join(import.meta.dirname, '..', '..', 'catalogues', 'approval.json');
/** Two repeats, so that a failure can be watched. */
const RETRY = { strategy: 'default', delaysMs: [300, 1000], maxAttempts: 3 };

/** The event types that somebody has to be told about; the log takes all. */
export const NOTICES = ['node_activated', 'task_approved', 'task_rejected', 'task_timeout'];

/** @returns the applications with their keys, and what was imported. */
export async function registerApplications(api) {
  const approval = await registerNode(api, { nodeCode: 'EXAMPLE-APPROVAL', nodeName: '审批系统 / Approval system' });
  const log = await registerNode(api, { nodeCode: 'EXAMPLE-LOG', nodeName: '日志系统 / Log' });
  const notice = await registerNode(api, { nodeCode: 'EXAMPLE-NOTICE', nodeName: '通知系统 / Notices' });
  const catalogue = readCatalogue(CATALOGUE);
  return { approval, log, notice, sourceId: catalogue.sourceId, types: await importCatalogue(api, catalogue) };
}

/**
 * One listener of the application per event type.
 * @param of `{ application, url, types }`.
 * @returns their ids.
 */
export async function registerListeners(api, { application, url, types }) {
  const ids = [];
  for (const { id, eventTypeCode } of types) {
    const name = `${application.nodeCode} ${eventTypeCode}`;
    const { nodeCode } = application;
    ids.push((await registerListener(api, { name, nodeCode, eventTypeId: id, url, retry: RETRY })).id);
  }
  return ids;
}
