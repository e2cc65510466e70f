import type { CentreProcess } from '../support/centre-process.js';
import { pause } from '../support/pause.js';
import { queueCounts, type OwnBroker } from './own-services.js';

/** A quorum queue tells its counts only so often. */
const STATISTICS_MS = 7_000;

/** So that the broker does not miss the heartbeats of a process that is frozen for the count. */
export const PATIENT_HEARTBEAT = { EVENT_CENTER_BROKER_HEARTBEAT_SECONDS: '60' };

/**
 * kill -9 of processes that were frozen first, so that the broker's count of unacknowledged messages in the node queues is
 * the count at the kill. Start them with `PATIENT_HEARTBEAT`.
 * @returns that count.
 */
export async function killCounted(processes: CentreProcess[], broker: OwnBroker): Promise<number> {
  for (const { pid } of processes) process.kill(pid, 'SIGSTOP');
  await pause(STATISTICS_MS);
  const counts = await queueCounts(broker);
  await Promise.all(processes.map((one) => one.kill()));
  return [...counts]
    .filter(([queue]) => queue.includes('.node.'))
    .reduce((sum, [, { unacknowledged }]) => sum + unacknowledged, 0);
}
