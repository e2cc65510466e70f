/** The seven events of the scenario with their fields, written out, to compare with what arrives. */

const START = { id: 'start', name: '开始', type: 'start' };
const APPROVAL = { id: 'manager-approval', name: '审批', type: 'approval' };
const by = (result, comment) => ({
  nodeId: 'manager-approval',
  approver: 'manager-001',
  result,
  ...(comment === undefined ? {} : { comment }),
});

/** In the order in which they happen. */
export const EXPECTED_EVENTS = [
  { step: 'create', type: 'task_created', state: 'pending', node: START },
  { step: 'submit', type: 'task_submitted', state: 'submitted', node: START },
  { step: 'submit', type: 'node_activated', state: 'submitted', node: APPROVAL },
  {
    step: 'set approver',
    type: 'approval_operation',
    state: 'submitted',
    node: APPROVAL,
    approval: by('add_approver'),
  },
  { step: 'approve', type: 'approval_operation', state: 'approved', node: APPROVAL, approval: by('approve', '同意') },
  { step: 'approve', type: 'node_completed', state: 'approved', node: APPROVAL },
  { step: 'approve', type: 'task_approved', state: 'approved', node: APPROVAL },
];

/** The expected one that this payload is, by type and by what was done; null when there is none. */
export function expectedFor(payload) {
  const isIt = ({ type, approval }) => type === payload?.type && approval?.result === payload?.approval?.result;
  return EXPECTED_EVENTS.find(isIt) ?? null;
}

/**
 * Compares field by field.
 * @param run `{ taskId, startedAt }`, milliseconds since the epoch.
 * @returns a sentence per field that is missing, too much or different.
 */
export function differences(payload, expected, { taskId, startedAt }) {
  const { type, state, node, approval } = expected;
  const wanted = flat({
    type,
    task: { id: taskId, templateId: 'event-notification-template', businessId: 'event-001', state },
    node,
    ...(approval === undefined ? {} : { approval }),
    business: { id: 'event-001' },
  });
  const { id, time, ...rest } = payload;
  const found = flat(rest);
  const fields = [...new Set([...Object.keys(wanted), ...Object.keys(found)])];
  const differing = fields
    .filter((field) => wanted[field] !== found[field])
    .map((field) => `${field}: expected ${wanted[field]}, found ${found[field]}`);
  if (typeof id !== 'string' || !id.startsWith(taskId)) differing.push(`id: expected one of the task, found ${id}`);
  const at = Date.parse(time);
  if (!(at >= startedAt && at <= Date.now())) differing.push(`time: expected a time of this run, found ${time}`);
  return differing;
}

/** How many fields an event of the scenario has: those above, and `id` and `time`. */
export function fieldCount(payload) {
  return Object.keys(flat(payload)).length;
}

/** `{ task: { id } }` as `{ 'task.id' }`. */
function flat(value, prefix = '') {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, part]) =>
      typeof part === 'object' && part !== null
        ? Object.entries(flat(part, `${prefix}${name}.`))
        : [[`${prefix}${name}`, part]],
    ),
  );
}
