/** `npm run build`: the SDK and the centre. Notes when it began, by which `prepare` knows what is older than its sources. */
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { BUILD_STAMP, ROOT, npm, run } from './prepare.mjs';

const startedAt = Date.now();
try {
  await npm(['run', '--silent', 'build', '--workspace', 'sdk']);
  await run(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json']);
  writeFileSync(BUILD_STAMP, String(startedAt));
} catch (error) {
  process.stderr.write(`event-center: ${error.message}\n`);
  process.exitCode = 1;
}
