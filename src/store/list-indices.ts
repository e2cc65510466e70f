import type { EntityManager } from 'typeorm';
import type { DeliveryFilter, EventFilter, FailureFilter } from '../core/ports.js';

/*
 * Which indices a list may use. Left alone, MySQL reads a frequent value from its newest row on instead of from where
 * the page begins, because it compares the rows that an index names and not those that come before the page; or it
 * takes an index that saves it the sorting and nothing else. Among these it chooses well.
 */

type Given<Filter> = { [Name in keyof Filter]?: Filter[Name] | undefined };

/** The indices of the filters that are given, else the one by time alone. */
export function eventIndices(filter: Given<EventFilter>): string[] {
  const { sourceId, eventType, tenantCode, appId, state } = filter;
  const names: string[] = [];
  const isOfApp = appId !== undefined;
  if (sourceId !== undefined && eventType !== undefined) names.push('pub_event_type');
  else if (sourceId !== undefined && !isOfApp) names.push('pub_event_source');
  else if (eventType !== undefined && tenantCode === undefined && !isOfApp) names.push('pub_event_eventtype');
  if (tenantCode !== undefined) names.push(eventType === undefined ? 'pub_event_tenant' : 'pub_event_tenant_type');
  if (isOfApp && eventType !== undefined) names.push('pub_event_app_type');
  if (isOfApp && sourceId !== undefined) names.push('pub_event_app_source');
  if (isOfApp && eventType === undefined && sourceId === undefined) names.push('pub_event_app');
  if (state !== undefined) names.push('pub_event_state');
  return names.length === 0 ? ['pub_event_accepted'] : names;
}

/** The same for deliveries; a node has an index together with a state only. */
export function deliveryIndices({ eventId, listenerId, nodeCode, state }: Given<DeliveryFilter>): string[] {
  if (eventId !== undefined) return ['PRIMARY'];
  const names: string[] = [];
  if (listenerId !== undefined) names.push('pub_event_delivery_listener');
  if (state !== undefined) names.push(nodeCode === undefined ? 'pub_event_delivery_state' : 'pub_event_delivery_node');
  return names;
}

/** The same for the failure log. */
export function failureIndices({ kind, eventId, listenerId, nodeCode }: Given<FailureFilter>): string[] {
  const names: string[] = [];
  if (kind !== undefined) names.push('pub_event_failure_kind');
  if (eventId !== undefined) names.push('pub_event_failure_event');
  if (listenerId !== undefined) names.push('pub_event_failure_listener');
  if (nodeCode !== undefined) names.push('pub_event_failure_node');
  return names.length === 0 ? ['pub_event_failure_failed'] : names;
}

/** Behind the name of a table: only these indices, on MySQL. SQLite knows no such list and needs none. */
export function forceIndices(manager: EntityManager, indices: string[]): string {
  if (manager.dataSource.options.type === 'better-sqlite3' || indices.length === 0) return '';
  return ` FORCE INDEX (${indices.join(', ')})`;
}
