/**
 * A small approval system: a task walks through start node, approval node and end node, approved by one person. At each
 * step it tells `notify` what happened; it never waits for what becomes of that.
 */
import { randomUUID } from 'node:crypto';

/** Start → approval → end, as the scenario draws it. */
export const TEMPLATE = {
  id: 'event-notification-template',
  name: '事件通知模板',
  nodes: {
    start: { id: 'start', name: '开始', type: 'start' },
    approval: { id: 'manager-approval', name: '审批', type: 'approval' },
    end: { id: 'end', name: '结束', type: 'end' },
  },
};

/** One task. Each step throws when the task is not in the state that the step begins in. */
export class ApprovalTask {
  #notify;
  #businessId;
  #state = null;
  #approvers = new Set();

  /** @param notify is called with each event, at once, and must not throw. */
  constructor({ businessId, notify }) {
    this.id = `task-${randomUUID()}`;
    this.#businessId = businessId;
    this.#notify = notify;
  }

  get state() {
    return this.#state;
  }

  create() {
    this.#move(null, 'pending');
    this.#announce('task_created', TEMPLATE.nodes.start);
  }

  submit() {
    this.#move('pending', 'submitted');
    this.#announce('task_submitted', TEMPLATE.nodes.start);
    this.#announce('node_activated', TEMPLATE.nodes.approval);
  }

  addApprover(approver) {
    this.#move('submitted', 'submitted');
    this.#approvers.add(approver);
    this.#announce('approval_operation', TEMPLATE.nodes.approval, this.#operation(approver, 'add_approver'));
  }

  approve(approver, comment) {
    if (!this.#approvers.has(approver)) throw new Error(`${approver} is not an approver of ${this.id}`);
    this.#move('submitted', 'approved');
    this.#announce('approval_operation', TEMPLATE.nodes.approval, this.#operation(approver, 'approve', comment));
    this.#announce('node_completed', TEMPLATE.nodes.approval);
    this.#announce('task_approved', TEMPLATE.nodes.approval);
  }

  #move(from, to) {
    if (this.#state !== from) throw new Error(`${this.id} is ${this.#state}, expected ${from}`);
    this.#state = to;
  }

  #operation(approver, result, comment) {
    return { nodeId: TEMPLATE.nodes.approval.id, approver, result, ...(comment === undefined ? {} : { comment }) };
  }

  #announce(type, node, approval) {
    this.#notify({
      id: `${this.id}-${type}-${randomUUID()}`,
      type,
      time: new Date().toISOString(),
      task: { id: this.id, templateId: TEMPLATE.id, businessId: this.#businessId, state: this.#state },
      node,
      ...(approval === undefined ? {} : { approval }),
      business: { id: this.#businessId },
    });
  }
}
