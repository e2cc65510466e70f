export type { Inbox, InboxKey, InboxResult } from './inbox.js';
export { MemoryInbox } from './memory-inbox.js';
export type { MemoryInboxOptions } from './memory-inbox.js';
export { inboxTableSql } from './sql-dialect.js';
export type { InboxDialect } from './sql-dialect.js';
export { SqlInbox } from './sql-inbox.js';
export type { SqlExecutor, SqlInboxOptions } from './sql-inbox.js';
