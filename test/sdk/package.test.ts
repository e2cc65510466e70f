import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Flow, type FlowNode, type FlowType } from '../support/flow.js';

const run = promisify(execFile);
const ROOT = join(__dirname, '..', '..');
const CLIENT_KEY = 'a2V5IG9mIHRoZSByZWNlaXZlcg==';

/** Sends an event and receives it back; the same lines for both module systems, which differ in how they import. */
const SEND_AND_RECEIVE = `
  const { url, appId, appKey, clientKey, sourceId, eventType, port } = JSON.parse(process.argv[2]);
  let received;
  const arrived = new Promise((resolve) => { received = resolve; });
  const receiver = createReceiver({ clientKey }, (event) => received(event));
  const server = http.createServer(receiver.node).listen(port, '127.0.0.1', async () => {
    const client = new EventCenterClient({ baseUrl: url, appId, appKey });
    const sent = await client.send({ sourceId, eventType, userObject: { order: 7 } });
    const event = await arrived;
    console.log(JSON.stringify({ code: sent.code, same: event.eventId === sent.eventId, payload: event.payload }));
    server.close();
    server.closeAllConnections();
  });
`;

describe('the packed SDK in an empty project', () => {
  let folder: string;
  let flow: Flow;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'event-center-package-'));
    flow = await Flow.start('the embedded broker and SQLite');
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: join(ROOT, 'sdk') });
    const [{ filename }] = JSON.parse(stdout);
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'empty', version: '1.0.0', private: true }));
    const offline = ['--offline', '--no-audit', '--no-fund'];
    await run('npm', ['install', ...offline, join(folder, filename)], { cwd: folder });
  });

  afterAll(async () => {
    await flow.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('brings no other package along', async () => {
    const { stdout } = await run('npm', ['ls', '--all', '--parseable'], { cwd: folder });
    expect(stdout.trim().split('\n').slice(1)).toEqual([expect.stringContaining('@event-center')]);
  });

  test('sends and receives from an ES module', async () => {
    writeFileSync(
      join(folder, 'both.mjs'),
      `import http from 'node:http';
       import { createReceiver, EventCenterClient } from '@event-center/sdk';
       ${SEND_AND_RECEIVE}`,
    );
    await expectEventBack('both.mjs');
  });

  test('sends and receives from a CommonJS script', async () => {
    writeFileSync(
      join(folder, 'both.cjs'),
      `const http = require('node:http');
       const { createReceiver, EventCenterClient } = require('@event-center/sdk');
       ${SEND_AND_RECEIVE}`,
    );
    await expectEventBack('both.cjs');
  });

  test.each(entryPoints())('loads %s by import and by require, to the same names', async (entry) => {
    const namesOf = async (file: string, load: string): Promise<string[]> => {
      writeFileSync(
        join(folder, file),
        `${load}console.log(JSON.stringify(Object.keys(it).filter((n) => n !== 'default').sort()));`,
      );
      const { stdout } = await run(process.execPath, [file], { cwd: folder });
      return JSON.parse(stdout);
    };
    const names = await namesOf('load.mjs', `import * as it from '${entry}';`);
    expect(names.length).toBeGreaterThan(0);
    expect(await namesOf('load.cjs', `const it = require('${entry}');`)).toEqual(names);
  });

  async function expectEventBack(script: string): Promise<void> {
    const { node, type, port } = await register();
    const { url } = flow.centre;
    const { sourceId, eventTypeCode: eventType } = type;
    const options = { url, ...node, clientKey: CLIENT_KEY, sourceId, eventType, port };
    const { stdout } = await run(process.execPath, [script, JSON.stringify(options)], { cwd: folder, timeout: 30_000 });
    expect(JSON.parse(stdout)).toEqual({ code: 'OK', same: true, payload: { order: 7 } });
  }

  async function register(): Promise<{ node: FlowNode; type: FlowType; port: number }> {
    const port = await freePort();
    const node = await flow.node({ clientKey: CLIENT_KEY });
    const type = await flow.eventType();
    await flow.listener(node, type, { url: `http://127.0.0.1:${port}/events` });
    return { node, type, port };
  }
});

/** Every entry point that can be loaded without a peer dependency. */
function entryPoints(): string[] {
  const { name, exports } = JSON.parse(readFileSync(join(ROOT, 'sdk', 'package.json'), 'utf8'));
  return Object.keys(exports)
    .filter((path) => path !== './package.json' && path !== './amqp')
    .map((path) => path.replace('.', name));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
