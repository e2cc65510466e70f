import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const LOG = JSON.stringify(pathToFileURL(join(process.cwd(), 'dist', 'src', 'log.js')).href);

/** What a process that begins with `const log = createLog(level)` has written when it has ended. */
function written(level: string, script: string): Promise<{ lines: string[]; output: string }> {
  const source = `import { createLog } from ${LOG}; const log = createLog('${level}'); ${script}`;
  return new Promise((resolve) => {
    execFile(process.execPath, ['--input-type=module', '-e', source], (_, stdout, stderr) => {
      resolve({ lines: stderr.trimEnd().split('\n'), output: stdout });
    });
  });
}

describe('the log', () => {
  it('is a JSON line per happening on standard error, from its level on', async () => {
    const { lines, output } = await written(
      'info',
      `log.debug('event.looked-at', { eventId: 'a' });
       log.info('event.accepted', { eventId: 'a', code: null, durationMs: 1.5, tags: ['x'] });
       log.error('event.broke', { error: new Error('away', { cause: new TypeError('no "host"\\nat all') }) });
       log.warn('event.odd');`,
    );
    expect(output).toBe('');
    const timestamp = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { timestamp, level: 'info', message: 'event.accepted', eventId: 'a', code: null, durationMs: 1.5, tags: ['x'] },
      {
        timestamp,
        level: 'error',
        message: 'event.broke',
        error: 'Error: away; cause: TypeError: no "host"\nat all',
      },
      { timestamp, level: 'warn', message: 'event.odd' },
    ]);
  });

  it('takes what JSON has no word for', async () => {
    const { lines } = await written('info', `const a = { n: 1n }; a.self = a; log.info('event.odd', { a });`);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { message: 'event.odd', a: { n: 1, self: '[Circular]' } },
    ]);
  });

  it.each(['process.exit(1);', "throw new Error('unforeseen');"])('has its last lines before %s', async (end) => {
    const { lines } = await written('info', `log.info('one'); log.info('two'); ${end}`);
    const found = lines.flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as { message: string }] : []));
    expect(found.map(({ message }) => message)).toEqual(['one', 'two']);
  });

  it('goes out with the turn of the event loop, and at once where somebody may have to act', async () => {
    const { output } = await written(
      'info',
      `const writes = [];
       const write = process.stderr.write.bind(process.stderr);
       process.stderr.write = (text) => { writes.push(text.split('\\n').length - 1); return write(text); };
       log.info('one'); log.info('two');
       const before = writes.length;
       log.warn('three');
       const atOnce = writes.length;
       log.info('four'); log.info('five');
       await new Promise((resolve) => setImmediate(resolve));
       console.log(JSON.stringify({ before, atOnce, writes }));`,
    );
    expect(JSON.parse(output)).toEqual({ before: 0, atOnce: 1, writes: [3, 2] });
  });
});
