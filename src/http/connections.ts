import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { addressGroup } from './management/remote-address.js';

/** Requests of one connection that may wait for their answers; no client of ours sends more than one at a time. */
const MAX_PIPELINED = 16;

/** What is known of one connection. */
interface Connection {
  /** The connections of the same address, those that have kept us waiting for the longest first. */
  peers: Peers;
  /** The last request whose head has come; null before the first. */
  request: IncomingMessage | null;
  /** Requests whose answers are not complete. */
  unanswered: number;
  /** Bytes that had moved when it was last found silent, and for how many periods on end it was. */
  moved: number;
  silentPeriods: number;
}

type Peers = Map<Socket, Connection>;

export interface ConnectionsOptions {
  maxConnections: number;
  /** After how long without a move `silent` is told of a connection that is not idle. */
  silentPeriodMs: number;
  /** A connection that is silent for so long is closed. */
  silenceMs: number;
}

/**
 * The open connections of a server, bounded. When there are too many, the address that has the most of them makes room:
 * by the connection that has kept us waiting for the longest, being idle, with a request that does not arrive, or with an
 * answer that is not taken. So those who open connections and say nothing, say it slowly, or do not listen, shut
 * themselves out, and nobody at another address. A connection whose request is being worked on is never closed for
 * another, as long as its peer takes what is answered.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #open = new Map<Socket, Connection>();
  readonly #peersByAddress = new Map<string, Peers>();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Takes a connection in. False when one had to be closed: another, or this one when every other is being worked on. */
  admit(socket: Socket): boolean {
    const address = addressGroup(socket.remoteAddress ?? '');
    const peers: Peers = this.#peersByAddress.get(address) ?? new Map<Socket, Connection>();
    const connection: Connection = { peers, request: null, unanswered: 0, moved: 0, silentPeriods: 0 };
    this.#peersByAddress.set(address, peers.set(socket, connection));
    this.#open.set(socket, connection);
    const leave = (): void => {
      this.#open.delete(socket);
      peers.delete(socket);
      if (peers.size === 0 && this.#peersByAddress.get(address) === peers) this.#peersByAddress.delete(address);
    };
    socket.once('close', leave);
    socket.on('drain', () => {
      this.#waitAnew(socket, connection);
    });
    if (this.#open.size <= this.#options.maxConnections) return true;
    this.#close(this.#longestWaiting(this.#mostPeers(), socket) ?? this.#longestWaiting(this.#open, socket) ?? socket);
    return false;
  }

  /**
   * Notes that a request begins. False when its connection has too many unanswered ones, or was closed for that already:
   * it is closed, and the request must not be handled.
   */
  begin(req: IncomingMessage, res: ServerResponse): boolean {
    const { socket } = req;
    const connection = this.#open.get(socket);
    if (connection === undefined || socket.destroyed) return false;
    if (connection.unanswered === MAX_PIPELINED) {
      socket.destroy();
      return false;
    }
    connection.request = req;
    connection.unanswered += 1;
    toTheEnd(connection.peers, socket, connection);
    res.once('close', () => {
      connection.unanswered -= 1;
      this.#waitAnew(socket, connection);
    });
    return true;
  }

  /**
   * Told of a connection on which nothing has moved for a period, or that was idle for as long as it may be. Closes the
   * idle ones, those whose peer does not take its answer, and those that are silent for too long.
   */
  silent(socket: Socket): void {
    const connection = this.#open.get(socket);
    if (connection === undefined) return;
    const { silentPeriodMs, silenceMs } = this.#options;
    const moved = socket.bytesRead + socket.bytesWritten;
    connection.silentPeriods = moved === connection.moved ? connection.silentPeriods + 1 : 1;
    connection.moved = moved;
    const isIdle = connection.request !== null && connection.unanswered === 0;
    const isTooLong = connection.silentPeriods * silentPeriodMs >= silenceMs;
    if (isIdle || isTooLong || isNotTaken(socket)) socket.destroy();
    else socket.setTimeout(silentPeriodMs);
  }

  /** Closes the connections on which no request has come yet, which node does not count as idle. */
  closeUnused(): void {
    for (const [socket, { request }] of this.#open) if (request === null) socket.destroy();
  }

  /** Forgotten at once, because the event that tells of it comes later. */
  #close(socket: Socket): void {
    this.#open.get(socket)?.peers.delete(socket);
    this.#open.delete(socket);
    socket.destroy();
  }

  /** What was waited for came: all others have kept us waiting for longer now. */
  #waitAnew(socket: Socket, connection: Connection): void {
    if (this.#open.has(socket)) toTheEnd(connection.peers, socket, connection);
  }

  #mostPeers(): Peers {
    let most: Peers = new Map();
    for (const peers of this.#peersByAddress.values()) if (peers.size > most.size) most = peers;
    return most;
  }

  #longestWaiting(peers: Peers, newcomer: Socket): Socket | null {
    for (const [socket, { request, unanswered }] of peers) {
      const isWorkedOn = unanswered > 0 && request?.complete === true && !isNotTaken(socket);
      if (!isWorkedOn && socket !== newcomer) return socket;
    }
    return null;
  }
}

/** Whether the peer has yet to take some of what was written, after what the kernel keeps for it. */
function isNotTaken(socket: Socket): boolean {
  return socket.writableLength > 0;
}

function toTheEnd(peers: Peers, socket: Socket, connection: Connection): void {
  peers.delete(socket);
  peers.set(socket, connection);
}
