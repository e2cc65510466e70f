import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Flow } from '../support/flow.js';
import { slowIt } from '../support/fuzzing.js';
import { rawConnection, rawExchange, rawRequestText } from '../support/raw-http.js';
import { until } from '../support/until.js';

const MAX_CONNECTIONS = 200;
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
const MIB = 1024 * 1024;
const SEND = 'POST /event/eventmanager/sendEventMsg.do?appId=A&ts=1 HTTP/1.1\r\nHost: h\r\n';
const FORM = 'Content-Type: application/x-www-form-urlencoded\r\n';
/** Another address than that of the good senders, to whom the same machine belongs. */
const ATTACKERS = '127.0.0.2';
/** What a good send may take beside the attackers, on a busy machine too. */
const PATIENCE_MS = 10_000;

let flow: Flow;
let type: Awaited<ReturnType<Flow['eventType']>>;
beforeAll(async () => {
  flow = await Flow.start('the embedded broker and SQLite', {
    EVENT_CENTER_HTTP_MAX_CONNECTIONS: String(MAX_CONNECTIONS),
    EVENT_CENTER_INGEST_MAX_BUFFERED_BYTES: String(MAX_BUFFERED_BYTES),
  });
  type = await flow.eventType();
});
afterAll(() => flow.close());

/** Sends one event after another; each must be accepted in time. */
async function expectServed(count: number, userObject = '{"good":true}'): Promise<void> {
  for (let left = count; left > 0; left -= 1) {
    const began = performance.now();
    await flow.send(type, { userObject });
    expect(performance.now() - began).toBeLessThan(PATIENCE_MS);
  }
}

const incidents = async (name: string): Promise<number> => {
  const all = await flow.metric('event_center_incidents_total');
  return all.get(`{name="${name}"}`) ?? 0;
};

const residentBytes = (): number => {
  const pages = readFileSync(`/proc/${flow.centre.pid}/statm`, 'utf8').split(' ')[1];
  return Number(pages) * 4096;
};
const openFiles = (): number => readdirSync(`/proc/${flow.centre.pid}/fd`).length;

/** What an attacker says first, and then again and again until the connection is closed. */
type Attack = (socket: Socket) => (() => void) | null;

/** Attackers that keep `count` connections busy: one that is closed is made again. */
class Attackers {
  readonly #sockets = new Set<Socket>();
  readonly #timers: NodeJS.Timeout[] = [];
  #ended = false;
  /** Connections that were made, and what the first answers said. */
  made = 0;
  answers: string[] = [];

  readonly #attack: Attack;

  constructor(count: number, attack: Attack) {
    this.#attack = attack;
    for (let left = count; left > 0; left -= 1) this.#connect();
  }

  #connect(): void {
    const socket = rawConnection(flow.centre.url, ATTACKERS);
    this.made += 1;
    this.#sockets.add(socket);
    socket.on('data', (bytes: Buffer) => this.answers.push(bytes.toString('latin1', 0, 12)));
    const goOn = this.#attack(socket);
    const timer = goOn === null ? null : setInterval(goOn, 100);
    if (timer !== null) this.#timers.push(timer);
    socket.once('close', () => {
      if (timer !== null) clearInterval(timer);
      this.#sockets.delete(socket);
      if (!this.#ended) setTimeout(() => this.#ended || this.#connect(), 100);
    });
  }

  end(): void {
    this.#ended = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function during(attackers: Attackers, work: () => Promise<void>): Promise<void> {
  try {
    await until('the attackers are there', () => attackers.made > MAX_CONNECTIONS);
    await work();
  } finally {
    attackers.end();
  }
}

describe('good senders at another address are served within seconds', () => {
  it('beside 600 connections on which nothing is said, three times as many as the centre holds', async () => {
    const before = await incidents('http-connections-full');
    await during(new Attackers(600, () => null), () => expectServed(20));
    expect(await incidents('http-connections-full')).toBeGreaterThan(before);
  });

  it('beside 600 connections whose requests come a byte at a time (slowloris)', async () => {
    const attackers = new Attackers(600, (socket) => {
      socket.write(`${SEND}X-Slow: `);
      return () => socket.write('x');
    });
    await during(attackers, () => expectServed(20));
  });

  it('beside 600 connections that are kept alive by a request now and then', async () => {
    const request = 'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n';
    const attackers = new Attackers(600, (socket) => {
      socket.write(request);
      return () => {
        if (Math.random() < 0.01) socket.write(request);
      };
    });
    await during(attackers, () => expectServed(20));
  });

  it('beside 250 connections that ask for a long file and take nothing of it', async () => {
    const attackers = new Attackers(MAX_CONNECTIONS + 50, (socket) => {
      socket.pause();
      socket.write('GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(4));
      return null;
    });
    await during(attackers, async () => {
      await expectServed(20);
      const newcomer = rawRequestText('GET /healthz');
      for (let left = 20; left > 0; left -= 1) {
        expect((await rawExchange(flow.centre.url, newcomer)).status).toBe(200);
      }
    });
  });

  it('beside bodies that come a byte at a time, of which only so much is held', async () => {
    const before = [residentBytes(), await incidents('http-body-given-up')] as const;
    const part = Buffer.alloc(128 * 1024, 'x');
    const attackers = new Attackers(MAX_CONNECTIONS + 50, (socket) => {
      socket.write(`${SEND}${FORM}Content-Length: ${MIB}\r\n\r\n`);
      socket.write(part);
      return () => socket.write('x');
    });
    await during(attackers, async () => {
      await expectServed(20, 'x'.repeat(200_000));
      await until('the oldest are told to come again', () => attackers.answers.includes('HTTP/1.1 503'));
    });
    expect(await incidents('http-body-given-up')).toBeGreaterThan(before[1]);
    expect(residentBytes() - before[0]).toBeLessThan(150 * MIB);
  });

  slowIt(
    'beside 600 of each kind, for a minute',
    async () => {
      const part = Buffer.alloc(64 * 1024, 'x');
      const floods = [
        new Attackers(600, () => null),
        new Attackers(600, (socket) => {
          socket.write(`${SEND}X-Slow: `);
          return () => socket.write('x');
        }),
        new Attackers(600, (socket) => {
          socket.write(`${SEND}${FORM}Content-Length: ${MIB}\r\n\r\n`);
          socket.write(part);
          return () => socket.write('x');
        }),
      ];
      const before = residentBytes();
      try {
        const until = Date.now() + 60_000;
        while (Date.now() < until) await expectServed(1);
      } finally {
        for (const flood of floods) flood.end();
      }
      expect(residentBytes() - before).toBeLessThan(200 * MIB);
    },
    300_000,
  );
});

describe('a client', () => {
  it('that sends thousands of requests without waiting for an answer is disconnected', async () => {
    const before = residentBytes();
    for (const path of ['/openapi.json', '/metrics', '/docs/swagger-ui-bundle.js']) {
      const socket = rawConnection(flow.centre.url);
      socket.pause();
      socket.write(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`.repeat(5_000));
      await until('it is cut off', async () => {
        await expectServed(1);
        socket.read();
        return socket.destroyed;
      });
    }
    expect(residentBytes() - before).toBeLessThan(150 * MIB);
  });

  it('may send up to 16 requests before it reads the first answer', async () => {
    const socket = rawConnection(flow.centre.url);
    let text = '';
    socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')));
    socket.write('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(16));
    await until('all are answered', () => text.match(/HTTP\/1.1 200/g)?.length === 16);
    socket.destroy();
  });

  it('that goes away while answers wait for their turn leaves no file open', async () => {
    const files = openFiles();
    for (let round = 0; round < 10; round += 1) {
      const socket = rawConnection(flow.centre.url);
      socket.write('GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(16));
      await once(socket, 'readable');
      socket.destroy();
    }
    await until('its connections are closed', () => openFiles() <= files + 5);
    expect(flow.errorsLogged()).toEqual([]);
  });

  it('that goes away in the middle of a send leaves nothing behind, however often it does', async () => {
    await expectServed(1);
    const [memory, files] = [residentBytes(), openFiles()];
    const part = Buffer.alloc(64 * 1024, 'x');
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const socket = rawConnection(flow.centre.url);
          const head = `${SEND}${FORM}Content-Length: ${MIB}\r\n\r\n`;
          const closed = new Promise((resolve) => socket.once('close', resolve));
          socket.write(index % 3 === 0 ? head.slice(0, 40) : head);
          socket.write(index % 3 === 1 ? '' : part, () =>
            index % 2 === 0 ? socket.destroy() : socket.resetAndDestroy(),
          );
          await closed;
        }),
      );
    }
    await until('its connections are closed', () => openFiles() <= files + 5);
    await expectServed(3);
    expect(residentBytes() - memory).toBeLessThan(100 * MIB);
    expect(flow.errorsLogged()).toEqual([]);
  });
});
