import type { Channel } from 'amqplib';
import { z } from 'zod';
import type { Log } from '../../core/ports.js';
import type { WireMessage } from '../message-format.js';
import { within } from '../within.js';
import type { Session } from './link.js';
import { openChannel } from './rpc-channels.js';

const announcementSchema = z.object({ v: z.literal(1), version: z.int() });

/** Writes "the registry is now at version N". */
export function encodeAnnouncement(version: number): WireMessage {
  return { body: Buffer.from(JSON.stringify({ v: 1, version })), headers: {} };
}

/** Reads an announcement; null when it is none that we know. */
function decodeAnnouncement(body: Buffer): number | null {
  try {
    return announcementSchema.parse(JSON.parse(body.toString('utf8'))).version;
  } catch {
    return null;
  }
}

export interface ControlDeps {
  exchange: string;
  timeoutMs: number;
  log: Log;
  /** Must not throw. */
  onVersion: (version: number) => void;
}

/** Listens for announcements on a connection, through a queue that lives as long as the connection. */
export async function listenForAnnouncements(session: Session, deps: ControlDeps): Promise<void> {
  const { exchange, timeoutMs, log } = deps;
  const channel = await openChannel(session, timeoutMs, ({ model }) => model.createChannel());
  channel.on('error', (error) => {
    log.warn('broker.control_channel.failed', { error: error.message });
    // Announcements would silently stay away; a new connection brings them back.
    session.kill('the control channel failed');
  });
  await within(timeoutMs, 'declaring the control queue', consumeAnnouncements(channel, exchange, deps));
}

async function consumeAnnouncements(channel: Channel, exchange: string, deps: ControlDeps): Promise<void> {
  const options = { exclusive: true, durable: false, autoDelete: true, arguments: { 'x-queue-type': 'classic' } };
  const { queue } = await channel.assertQueue('', options);
  await channel.bindQueue(queue, exchange, '');
  await channel.consume(
    queue,
    (message) => {
      const version = message === null ? null : decodeAnnouncement(message.content);
      if (version !== null) deps.onVersion(version);
    },
    { noAck: true, exclusive: true },
  );
}
