/**
 * What the core needs of the world. Adapters live in `broker/`, `store/`, `callback/` and meet the core in
 * `compose.ts` only. Unless a method says otherwise, a service that is away makes it throw `UNAVAILABLE`,
 * within a bounded time, and nothing has happened or what happened may be repeated.
 */
export type * from './ports/accepting-store.js';
export type * from './ports/access-store.js';
export type * from './ports/broker.js';
export type * from './ports/callback.js';
export type * from './ports/delivering-store.js';
export type * from './ports/journal-reader.js';
export type * from './ports/journal-store.js';
export type * from './ports/redelivery-store.js';
export type * from './ports/registry-store.js';
export type * from './ports/schema.js';
export type * from './ports/surroundings.js';
