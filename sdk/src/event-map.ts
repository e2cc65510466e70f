import type { BusinessEvent } from './business-event.js';

/**
 * Payloads by event type, the key being `sourceId/eventType`. This one knows nothing and allows every event type; one
 * that `npx event-center types` writes from the registry allows only the types it names:
 *
 *     export interface Events { 'ERP/ORDER_CREATED': { orderId: string } }
 */
export type EventMap = Record<`${string}/${string}`, unknown>;

/** The event types of a map. */
export type EventKey<Events extends object = EventMap> = keyof Events & `${string}/${string}`;

/** What stands before the first `/` of a key. */
export type SourceIdOf<Key extends string> = Key extends `${infer SourceId}/${string}` ? SourceId : never;

/** What stands after the first `/` of a key. */
export type EventTypeOf<Key extends string> = Key extends `${string}/${infer EventType}` ? EventType : never;

/** The payload of an event type; `unknown` when its schema says nothing. */
export type PayloadOf<Events extends object, Key extends EventKey<Events>> = Events[Key];

/** An event of the map as an application sees it: `sourceId` and `eventType` tell which payload it has. */
export type EventOf<Events extends object = EventMap> = {
  [Key in EventKey<Events>]: BusinessEvent<Events[Key]> & {
    readonly sourceId: SourceIdOf<Key>;
    readonly eventType: EventTypeOf<Key>;
  };
}[EventKey<Events>];
