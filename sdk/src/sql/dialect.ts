import { InvalidOptionError } from '../errors.js';

/** The databases that this package speaks to; `mariadb` is another name of `mysql`. */
export type SqlDialect = 'mysql' | 'mariadb' | 'sqlite' | 'postgres';

/** A dialect by the one name that the code asks for. */
export type SpokenDialect = Exclude<SqlDialect, 'mariadb'>;

const SPOKEN: Record<SqlDialect, SpokenDialect> = {
  mysql: 'mysql',
  mariadb: 'mysql',
  sqlite: 'sqlite',
  postgres: 'postgres',
};

/** @throws InvalidOptionError for a database that nobody here knows. */
export function checkedDialect(dialect: SqlDialect): SpokenDialect {
  if (!Object.hasOwn(SPOKEN, dialect)) {
    throw new InvalidOptionError('dialect', `expected one of ${Object.keys(SPOKEN).join(', ')}`);
  }
  return SPOKEN[dialect];
}
