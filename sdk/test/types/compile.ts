import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';

/**
 * What the TypeScript compiler finds wrong, strictly, in files that lie in one folder: `file:line text` of each, sorted by
 * file and line.
 */
export function compile(files: Record<string, string>): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-types-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const program = ts.createProgram(
      Object.keys(files).map((name) => join(folder, name)),
      {
        strict: true,
        noEmit: true,
        // Checks declaration files too, but for the compiler's own.
        skipLibCheck: false,
        skipDefaultLibCheck: true,
        lib: ['lib.es2022.d.ts'],
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.Node20,
        types: [],
      },
    );
    return ts
      .getPreEmitDiagnostics(program)
      .map(({ file, start, messageText }) => {
        const text = ts.flattenDiagnosticMessageText(messageText, ' ');
        if (file === undefined) return text;
        const { line } = file.getLineAndCharacterOfPosition(start ?? 0);
        return `${file.fileName.slice(folder.length + 1)}:${line + 1} ${text}`;
      })
      .sort();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
