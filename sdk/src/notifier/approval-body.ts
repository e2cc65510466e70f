import type { NotifierEvent } from './notification.js';

/**
 * The JSON of an approval event under the names that receivers of the approval kit know: `ID`, `Type`, `Time`, `Task`
 * (`ID`, `TemplateID`, `BusinessID`, `State`), `Node`, `Approval`, `Business`; an absent part is null. What stands in
 * `business.data` is left as it is. For the option `body` of a WebhookHandler.
 */
export function approvalBody(event: NotifierEvent): string {
  return JSON.stringify({ ...PARTS, ...(renamed(event) as object) });
}

const PARTS = { ID: null, Type: null, Time: null, Task: null, Node: null, Approval: null, Business: null };

function renamed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Date) return value;
  const entries = Object.entries(value).map(([name, member]) => [
    nameOf(name),
    name === 'data' ? (member as unknown) : renamed(member),
  ]);
  return Object.fromEntries(entries) as unknown;
}

/** `templateId` is `TemplateID`. */
function nameOf(name: string): string {
  const capitalised = name.slice(0, 1).toUpperCase() + name.slice(1);
  return capitalised.replace(/Id$/, 'ID');
}
