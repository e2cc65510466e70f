import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests of one connection that may wait for their answers; no client of ours sends more than one at a time. */
const MAX_PIPELINED = 16;

/** What is known of one connection. */
interface Connection {
  /** The last request whose head has come; null before the first. */
  request: IncomingMessage | null;
  /** Requests whose answers are not complete. */
  unanswered: number;
  /** Since when the other side has kept us waiting: for a request, or for the rest of one. From `performance.now()`. */
  waitingSince: number;
}

/**
 * The open connections of a server, bounded. When there are too many, the one that has kept us waiting for the longest
 * makes room: it is idle, or its request does not arrive. So those who open connections and say nothing, or say it
 * slowly, shut themselves out and nobody else. A connection whose request is being worked on is never closed.
 */
export class Connections {
  readonly #maxConnections: number;
  readonly #open = new Map<Socket, Connection>();

  constructor(maxConnections: number) {
    this.#maxConnections = maxConnections;
  }

  /** Takes a connection in. False when one had to be closed: another, or this one when every other is being worked on. */
  admit(socket: Socket): boolean {
    const hasRoom = this.#open.size < this.#maxConnections;
    const leaving = hasRoom ? null : (this.#longestWaiting() ?? socket);
    if (leaving !== null) {
      this.#open.delete(leaving);
      leaving.destroy();
    }
    if (leaving === socket) return false;
    this.#open.set(socket, { request: null, unanswered: 0, waitingSince: performance.now() });
    socket.once('close', () => this.#open.delete(socket));
    return hasRoom;
  }

  /**
   * Notes that a request begins. False when its connection has too many unanswered ones, or was closed for that already:
   * it is closed, and the request must not be handled.
   */
  begin(req: IncomingMessage, res: ServerResponse): boolean {
    const connection = this.#open.get(req.socket);
    if (connection === undefined || req.socket.destroyed) return false;
    if (connection.unanswered === MAX_PIPELINED) {
      req.socket.destroy();
      return false;
    }
    connection.request = req;
    connection.unanswered += 1;
    connection.waitingSince = performance.now();
    res.once('close', () => {
      connection.unanswered -= 1;
      connection.waitingSince = performance.now();
    });
    return true;
  }

  /** Closes the connections on which no request has come yet, which node does not count as idle. */
  closeUnused(): void {
    for (const [socket, { request }] of this.#open) if (request === null) socket.destroy();
  }

  #longestWaiting(): Socket | null {
    let longest: Socket | null = null;
    let since = Number.POSITIVE_INFINITY;
    for (const [socket, { request, unanswered, waitingSince }] of this.#open) {
      const isWorkedOn = unanswered > 0 && request?.complete === true;
      if (isWorkedOn || waitingSince >= since) continue;
      longest = socket;
      since = waitingSince;
    }
    return longest;
  }
}
