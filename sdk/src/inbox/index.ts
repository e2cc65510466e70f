export type { Inbox, InboxKey, InboxResult } from './inbox.js';
export { MemoryInbox } from './memory-inbox.js';
export type { MemoryInboxOptions } from './memory-inbox.js';
export { SqlInbox } from './sql-inbox.js';
export type { SqlInboxOptions } from './sql-inbox.js';
export type { SqlDialect } from '../sql/dialect.js';
export type { SqlExecutor } from '../sql/executor.js';
export type { SqlTableOptions } from '../sql/table.js';
