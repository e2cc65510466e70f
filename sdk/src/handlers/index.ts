export { DeadEventError } from './dead-event-error.js';
export { MemoryDeadEventStore } from './memory-dead-event-store.js';
export { SqlDeadEventStore } from './sql-dead-event-store.js';
export type { DeadEventExecutor, SqlDeadEventStoreOptions } from './sql-dead-event-store.js';
export type { DeadEvent, DeadEventPage, DeadEventStore } from './dead-event-store.js';
export { EventHandlers } from './event-handlers.js';
export type { EventHandler, EventHandlersOptions, EventTypeRef, EventVersion } from './event-handlers.js';
export type { PayloadReader, PayloadSchema, SchemaOutput, StandardSchema } from './payload-schema.js';
