import { InvalidOptionError } from '../errors.js';
import { checkedDialect, type SpokenDialect, type SqlDialect } from './dialect.js';

/** Which table, and of what database. */
export interface SqlTableOptions {
  dialect: SqlDialect;
  /** Its name: letters, digits and `_`, up to 48 of them, with a schema and a dot before it if need be. */
  table?: string;
}

/** A table whose options are checked. */
export interface SqlTable {
  dialect: SpokenDialect;
  table: string;
}

const NAME = /^(?:[A-Za-z_][A-Za-z0-9_]{0,47}\.)?[A-Za-z_][A-Za-z0-9_]{0,47}$/;

/** @throws InvalidOptionError for an unknown dialect, or a name that would have to be quoted. */
export function checkedTable({ dialect, table }: Required<SqlTableOptions>): SqlTable {
  if (!NAME.test(table)) {
    throw new InvalidOptionError(
      'table',
      'expected up to 48 letters, digits and _, not a digit first, with a schema before a dot if wanted',
    );
  }
  return { dialect: checkedDialect(dialect), table };
}
