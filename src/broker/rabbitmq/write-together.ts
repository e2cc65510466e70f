import type { Duplex } from 'node:stream';

/**
 * Lets what is written to a socket in one turn leave in one system call. amqplib writes every frame of its own accord,
 * which took about a tenth of the time of a busy process.
 */
export function writeTogether(socket: Duplex): void {
  const write = socket.write.bind(socket) as (...parameters: unknown[]) => boolean;
  let gathering = false;
  const leave = (): void => {
    gathering = false;
    socket.uncork();
  };
  socket.write = ((...parameters: unknown[]): boolean => {
    if (!gathering) {
      gathering = true;
      socket.cork();
      process.nextTick(leave);
    }
    return write(...parameters);
  }) as Duplex['write'];
}
