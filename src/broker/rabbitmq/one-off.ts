import type { ConfirmChannel } from 'amqplib';
import { EventCenterError } from '../../core/errors.js';
import { messageOf, within } from '../within.js';
import { connectTo, streamOf, type ConnectOptions } from './connect.js';

/**
 * Runs `work` on a connection of its own, which is cut afterwards: for calls that may never come back, and would leave
 * something behind on a connection that others use.
 * @throws UNAVAILABLE when no address answers or the time is over.
 */
export async function onConnectionOfItsOwn(
  options: ConnectOptions & { addresses: string[]; timeoutMs: number },
  what: string,
  work: (channel: ConfirmChannel) => Promise<unknown>,
): Promise<void> {
  let failure: unknown = null;
  for (const address of options.addresses) {
    const model = await connectTo(address, options).catch((error: unknown) => {
      failure = error;
      return null;
    });
    if (model === null) continue;
    model.on('error', () => undefined);
    const run = async (): Promise<void> => {
      const channel = await model.createConfirmChannel();
      channel.on('error', () => undefined);
      await work(channel);
    };
    try {
      await within(options.timeoutMs, what, run());
    } finally {
      streamOf(model).destroy(new Error('done'));
    }
    return;
  }
  throw new EventCenterError('UNAVAILABLE', `${what}: no broker answers: ${messageOf(failure)}`);
}
