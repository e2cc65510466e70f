import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';

/**
 * What the TypeScript compiler finds wrong, strictly, in files that lie in one folder: `file:line text` of each, sorted by
 * file and line.
 * @param more.options of the compiler, over those for written types.
 * @param more.packages folder `node_modules` whose packages they may import; none by default.
 */
export function compile(
  files: Record<string, string>,
  more: { options?: ts.CompilerOptions; packages?: string } = {},
): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-types-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    if (more.packages !== undefined) symlinkSync(more.packages, join(folder, 'node_modules'));
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
        ...more.options,
      },
    );
    return (
      ts
        .getPreEmitDiagnostics(program)
        // What they import from elsewhere is checked where it lies.
        .filter(({ file }) => file === undefined || file.fileName.startsWith(folder))
        .map(({ file, start, messageText }) => {
          const text = ts.flattenDiagnosticMessageText(messageText, ' ');
          if (file === undefined) return text;
          const { line } = file.getLineAndCharacterOfPosition(start ?? 0);
          return `${file.fileName.slice(folder.length + 1)}:${line + 1} ${text}`;
        })
        .sort()
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
