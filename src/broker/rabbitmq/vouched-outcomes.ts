import type { Outcome } from '../../core/model.js';
import type { Decoded } from '../message-format.js';

/**
 * Takes outcomes only from whom they may come: `userId` is the AMQP property `user_id`, which RabbitMQ compares with the
 * user of the publishing connection, so that nobody can give another's. The centre's own users report for every node;
 * anybody else only for the node whose code is the user's name.
 */
export function vouchedFor(
  decoded: Decoded<Outcome[]>,
  userId: unknown,
  trustedUsers: ReadonlySet<string>,
): Decoded<Outcome[]> {
  if (!decoded.ok) return decoded;
  if (typeof userId !== 'string' || userId === '') return { ok: false, reason: 'expected the property user_id' };
  if (trustedUsers.has(userId)) return decoded;
  const other = decoded.message.find(({ nodeCode }) => nodeCode !== userId);
  if (other === undefined) return decoded;
  const found = `the broker user ${userId} reported for node ${other.nodeCode}`;
  return { ok: false, reason: `expected outcomes of the node that the broker user is named like, ${found}` };
}
