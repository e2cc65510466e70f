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
}

type Peers = Map<Socket, Connection>;

/**
 * The open connections of a server, bounded. When there are too many, the address that has the most of them makes room:
 * by the connection that has kept us waiting for the longest, being idle or with a request that does not arrive. So
 * those who open connections and say nothing, or say it slowly, shut themselves out, and nobody at another address. A
 * connection whose request is being worked on is never closed.
 */
export class Connections {
  readonly #maxConnections: number;
  readonly #open = new Map<Socket, Connection>();
  readonly #peersByAddress = new Map<string, Peers>();

  constructor(maxConnections: number) {
    this.#maxConnections = maxConnections;
  }

  /** Takes a connection in. False when one had to be closed: another, or this one when every other is being worked on. */
  admit(socket: Socket): boolean {
    const address = addressGroup(socket.remoteAddress ?? '');
    const peers: Peers = this.#peersByAddress.get(address) ?? new Map<Socket, Connection>();
    const connection: Connection = { peers, request: null, unanswered: 0 };
    this.#peersByAddress.set(address, peers.set(socket, connection));
    this.#open.set(socket, connection);
    const leave = (): void => {
      this.#open.delete(socket);
      peers.delete(socket);
      if (peers.size === 0 && this.#peersByAddress.get(address) === peers) this.#peersByAddress.delete(address);
    };
    socket.once('close', leave);
    if (this.#open.size <= this.#maxConnections) return true;
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
      if (this.#open.has(socket)) toTheEnd(connection.peers, socket, connection);
    });
    return true;
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

  #mostPeers(): Peers {
    let most: Peers = new Map();
    for (const peers of this.#peersByAddress.values()) if (peers.size > most.size) most = peers;
    return most;
  }

  #longestWaiting(peers: Peers, newcomer: Socket): Socket | null {
    for (const [socket, { request, unanswered }] of peers) {
      const isWorkedOn = unanswered > 0 && request?.complete === true;
      if (!isWorkedOn && socket !== newcomer) return socket;
    }
    return null;
  }
}

function toTheEnd(peers: Peers, socket: Socket, connection: Connection): void {
  peers.delete(socket);
  peers.set(socket, connection);
}
