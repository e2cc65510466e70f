import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SignedCaller } from '../../src/client/signed-call.js';
import { ScriptedCentre } from './scripted-centre.js';

const run = promisify(execFile);
const KEY = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM=';

let centre: ScriptedCentre;
let caller: SignedCaller;

beforeEach(async () => {
  centre = await ScriptedCentre.start();
  caller = new SignedCaller({ baseUrl: centre.url, appId: 'SHOP', appKey: KEY });
});

afterEach(async () => {
  caller.close();
  await centre.close();
});

describe('connections', () => {
  it('are opened anew after close', async () => {
    await caller.postForm('sendEventMsg.do', { uuid: 'a' });
    caller.close();
    await caller.postForm('sendEventMsg.do', { uuid: 'b' });
    expect(centre.calls.map(({ fields }) => fields['uuid'])).toEqual(['a', 'b']);
    expect(centre.connections).toBe(2);
  });

  it('that are idle do not keep a process alive', async () => {
    const script = `
      import { EventCenterClient } from ${JSON.stringify(join(__dirname, '../../src/index.ts'))};
      const client = new EventCenterClient({ baseUrl: ${JSON.stringify(centre.url)}, appId: 'SHOP', appKey: '${KEY}' });
      client.send({ sourceId: 'ERP', eventType: 'T' }).then(({ code }) => console.log(code, Date.now()));`;
    const options = { cwd: join(__dirname, '../../..'), timeout: 30_000 };
    const { stdout } = await run(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], options);
    const [code, sentAt] = stdout.trim().split(' ');
    expect(code).toBe('OK');
    // The server offers to keep the connection for 5 s, the client would for 3 s.
    expect(Date.now() - Number(sentAt)).toBeLessThan(2_000);
  });

  it('carry answers whose headers can be asked for by name in lower case', async () => {
    centre.answer({ data: { status: 1 }, headers: { ETag: '"7"', 'Set-Cookie': 'a=1' } });
    const { headers } = await caller.get('eventinfo/index.do');
    expect(headers).toMatchObject({ etag: '"7"', 'set-cookie': 'a=1', 'content-type': 'application/json' });
  });
});

describe('a field with half of a surrogate pair', () => {
  it('arrives as U+FFFD, as it was signed', async () => {
    await caller.postForm('settle.do', { error: 'half \ud800 & more' });
    expect(centre.calls[0]!.fields['error']).toBe('half \ufffd & more');
    expect(centre.calls[0]!.body).toContain('half+%EF%BF%BD+%26+more');
  });
});

describe('an answer that does not end', () => {
  it('is cut off at the time-out, even while bytes come in', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
        const timer = setInterval(() => socket.write('1\r\nx\r\n'), 10);
        socket.on('close', () => clearInterval(timer));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const slow = new SignedCaller({ baseUrl: `http://127.0.0.1:${port}`, appId: 'SHOP', appKey: KEY, timeoutMs: 100 });
    await expect(slow.postForm('sendEventMsg.do', { uuid: 'a' })).rejects.toMatchObject({ code: 'TIMEOUT', uuid: 'a' });
    // It waits for the connections, so the client must have closed its own.
    await new Promise((resolve) => server.close(resolve));
  });
});
