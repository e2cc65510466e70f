/** The four steps of the scenario: create, submit, set approver, approve. */
import { say } from '../../scripts/checks.mjs';
import { ApprovalTask } from './approval-task.mjs';

/** @param notify is called with each of the seven events, at once. @returns the task, approved. */
export function walkThrough(notify) {
  const task = new ApprovalTask({ businessId: 'event-001', notify });
  task.create();
  say(`created ${task.id}`);
  task.submit();
  say('submitted');
  task.addApprover('manager-001');
  say('approver manager-001 is set');
  task.approve('manager-001', '同意');
  say(`approved by manager-001, state ${task.state}`);
  return task;
}
