import { messageOf } from '../message-of.js';

/** A schema of any library that keeps to the Standard Schema interface, version 1: zod, valibot, arktype and others. */
export interface StandardSchema<Output = unknown> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

type StandardResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly Issue[] };

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Reads a payload; what it throws says why the payload is unreadable. */
export type PayloadReader<T> = (payload: unknown) => T;

/** How a payload is read. */
export type PayloadSchema<T> = StandardSchema<T> | PayloadReader<T>;

/** What a schema makes of a payload. */
export type SchemaOutput<Schema> = Schema extends { readonly '~standard': { readonly types?: infer Types } }
  ? NonNullable<Types> extends { readonly output: infer Output }
    ? Output
    : unknown
  : Schema extends (payload: unknown) => infer T
    ? T
    : never;

/** The payload as its schema reads it, or why it cannot. */
export type Reading<T> = { readable: true; payload: T } | { readable: false; reason: string };

const NAMED_ISSUES = 10;

/**
 * Reads a payload by its schema.
 * @throws what a Standard Schema throws instead of naming issues: a failure of the schema, not of the payload.
 */
export async function readPayload<T>(schema: PayloadSchema<T>, payload: unknown): Promise<Reading<T>> {
  if (isStandardSchema(schema)) {
    const result = await schema['~standard'].validate(payload);
    if (result.issues === undefined) return { readable: true, payload: result.value };
    return { readable: false, reason: reasonOf(result.issues) };
  }
  try {
    return { readable: true, payload: schema(payload) };
  } catch (error) {
    return { readable: false, reason: messageOf(error) };
  }
}

/** Schemas of some libraries are functions, so the property decides. */
export function isStandardSchema<T>(schema: PayloadSchema<T>): schema is StandardSchema<T> {
  return (schema as Partial<StandardSchema>)['~standard'] !== undefined;
}

function reasonOf(issues: readonly Issue[]): string {
  const named = issues.slice(0, NAMED_ISSUES).map(({ message, path }) => `${pathOf(path)}: ${message}`);
  const more = issues.length - named.length;
  return named.join('; ') + (more > 0 ? `; and ${more} more` : '');
}

function pathOf(path: Issue['path']): string {
  const keys = (path ?? []).map((part) => String(typeof part === 'object' ? part.key : part));
  return keys.length === 0 ? 'payload' : keys.join('.');
}
