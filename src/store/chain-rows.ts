import type { EntityManager } from 'typeorm';
import type { ChainProgress } from '../core/recording/delivery-state.js';
import { uuidToBytes } from './columns.js';
import { placeholders, type SqlValue } from './sql.js';

/** A chain as a message holds it, or as the recorder knows it to have come at least (`messageId` null). */
export interface ChainPositionRow extends ChainProgress {
  messageId: string | null;
}

const COLUMNS = ['event_id', 'node_code', 'generation', 'sequence', 'message_id', 'updated_at'];
const CHUNK = 500;

/**
 * Keeps positions, each only if it is ahead of the stored one by (generation, sequence), or is that very one and
 * nobody holds it yet. A single statement per chunk, so no lock outlives it outside a transaction.
 */
export async function raiseChains(manager: EntityManager, rows: ChainPositionRow[], at: number): Promise<void> {
  const tail = manager.dataSource.options.type === 'better-sqlite3' ? sqliteTail() : mysqlTail();
  for (let start = 0; start < rows.length; start += CHUNK) {
    const chunk = rows.slice(start, start + CHUNK);
    const values = chunk.map(() => `(${placeholders(COLUMNS.length)})`).join(', ');
    await manager.query(
      `INSERT INTO pub_event_chain (${COLUMNS.join(', ')}) VALUES ${values}${tail}`,
      chunk.flatMap((row): SqlValue[] => [
        uuidToBytes(row.eventId),
        row.nodeCode,
        row.generation,
        row.sequence,
        row.messageId,
        at,
      ]),
    );
  }
}

function mysqlTail(): string {
  const goesOn = conditionOn((column) => `VALUES(${column})`);
  // Assignments run from left to right and see each other, so what the condition reads comes last, and generation
  // after sequence: by then a newer generation still looks newer, and an equal one does not need it.
  const columns = ['updated_at', 'message_id', 'sequence', 'generation'];
  return ` ON DUPLICATE KEY UPDATE ${columns.map((column) => `${column} = IF(${goesOn}, VALUES(${column}), ${column})`).join(', ')}`;
}

function sqliteTail(): string {
  const goesOn = conditionOn((column) => `excluded.${column}`);
  const columns = ['updated_at', 'message_id', 'sequence', 'generation'];
  return ` ON CONFLICT (event_id, node_code) DO UPDATE SET ${columns.map((column) => `${column} = excluded.${column}`).join(', ')} WHERE ${goesOn}`;
}

function conditionOn(given: (column: string) => string): string {
  const [generation, sequence] = [given('generation'), given('sequence')];
  return (
    `(${generation} > generation OR (${generation} = generation AND (${sequence} > sequence` +
    ` OR (${sequence} = sequence AND message_id IS NULL))))`
  );
}
