import { EntitySchema, Table, type QueryRunner, type ValueTransformer } from 'typeorm';

/** The two kinds of database; `mysql` is MariaDB too. */
export type Dialect = 'mysql' | 'sqlite';

/** A column that means the same on both databases, for entities and migrations alike. */
export interface Column {
  type: 'binary' | 'varbinary' | 'blob' | 'longblob' | 'varchar' | 'text' | 'longtext' | 'bigint' | 'int' | 'integer';
  length?: number;
  charset?: string;
  collation?: string;
  nullable?: true;
  primary?: true;
  transformer?: ValueTransformer;
}

/** An index; names are global on SQLite, so they begin with the table's. */
export interface Index {
  name: string;
  columns: string[];
  unique?: true;
}

/** A table by its database names. Row types use these names too; camelCase begins at the store's methods. */
export interface TableShape {
  name: string;
  columns: Record<string, Column>;
  indices?: Index[];
}

/**
 * The portable column kinds. Migrations use them too, so what a kind means in the database never changes: add another
 * one. Texts compare byte by byte on both databases, so codes are case-sensitive.
 */
export interface Columns {
  /** UUID text in rows, 16 bytes in the database. */
  uuid(): Column;
  /** `length` bytes, all of them; `Buffer` in rows. */
  bytes(length: number): Column;
  /** Bytes of any length. */
  blob(): Column;
  /** Text of at most `length` characters; only MySQL checks it. */
  text(length: number): Column;
  /** Text of any length. */
  longText(): Column;
  /** Any JSON value, kept as text. */
  json(): Column;
  /** Milliseconds since the epoch, or another integer below 2^53. */
  time(): Column;
  int(): Column;
  /** `boolean` in rows, `Y` or `N` in the database as in the seed. */
  yesNo(): Column;
}

/** The 16 bytes of a UUID, for raw SQL. */
export function uuidToBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

/** The UUID text, in lower case, of 16 bytes out of raw SQL. */
export function uuidFromBytes(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const uuidTransformer = transformer(uuidToBytes, uuidFromBytes);
const timeTransformer = transformer((value: number) => value, Number);
const jsonTransformer = transformer(
  (value: unknown) => JSON.stringify(value),
  (text: string) => JSON.parse(text) as unknown,
);
const yesNoTransformer = transformer(
  (value: boolean) => (value ? 'Y' : 'N'),
  (text: string) => text === 'Y',
);

const MYSQL_TEXT = { charset: 'utf8mb4', collation: 'utf8mb4_bin' };

const mysqlColumns: Columns = {
  uuid: () => ({ type: 'binary', length: 16, transformer: uuidTransformer }),
  bytes: (length) => ({ type: 'binary', length }),
  blob: () => ({ type: 'longblob' }),
  text: (length) => ({ type: 'varchar', length, ...MYSQL_TEXT }),
  longText: () => ({ type: 'longtext', ...MYSQL_TEXT }),
  json: () => ({ type: 'longtext', ...MYSQL_TEXT, transformer: jsonTransformer }),
  time: () => ({ type: 'bigint', transformer: timeTransformer }),
  int: () => ({ type: 'int' }),
  yesNo: () => ({ type: 'varchar', length: 1, ...MYSQL_TEXT, transformer: yesNoTransformer }),
};

const sqliteColumns: Columns = {
  uuid: () => ({ type: 'blob', transformer: uuidTransformer }),
  bytes: () => ({ type: 'blob' }),
  blob: () => ({ type: 'blob' }),
  text: (length) => ({ type: 'varchar', length }),
  longText: () => ({ type: 'text' }),
  json: () => ({ type: 'text', transformer: jsonTransformer }),
  time: () => ({ type: 'bigint', transformer: timeTransformer }),
  int: () => ({ type: 'integer' }),
  yesNo: () => ({ type: 'varchar', length: 1, transformer: yesNoTransformer }),
};

/** The column kinds of a database. */
export function columnsFor(dialect: Dialect): Columns {
  return dialect === 'sqlite' ? sqliteColumns : mysqlColumns;
}

/** The column kinds of the database that a migration runs on. */
export function columnsOf(queryRunner: QueryRunner): Columns {
  return columnsFor(queryRunner.dataSource.options.type === 'better-sqlite3' ? 'sqlite' : 'mysql');
}

/** The column, allowing NULL. */
export function nullable(column: Column): Column {
  return { ...column, nullable: true };
}

/** The column as the primary key, or a part of it in the order of the columns. */
export function primary(column: Column): Column {
  return { ...column, primary: true };
}

/** The entity of a table; `Row` has the table's column names. Repositories are found by the table's name. */
export function entityOf<Row extends object>(shape: TableShape): EntitySchema<Row> {
  return new EntitySchema<Row>({
    name: shape.name,
    tableName: shape.name,
    columns: shape.columns,
    indices: (shape.indices ?? []).map((index) => ({ ...index, unique: index.unique === true })),
  });
}

/** The table for `QueryRunner.createTable`. Give migrations shapes of their own: what they made never changes. */
export function tableOf(shape: TableShape): Table {
  return new Table({
    name: shape.name,
    columns: Object.entries(shape.columns).map(([name, column]) => ({
      name,
      type: column.type,
      isNullable: column.nullable === true,
      isPrimary: column.primary === true,
      ...(column.length === undefined ? {} : { length: String(column.length) }),
      ...(column.charset === undefined ? {} : { charset: column.charset }),
      ...(column.collation === undefined ? {} : { collation: column.collation }),
    })),
    indices: (shape.indices ?? []).map((index) => ({
      name: index.name,
      columnNames: index.columns,
      isUnique: index.unique === true,
    })),
  });
}

function transformer<Value, Stored>(to: (value: Value) => Stored, from: (stored: Stored) => Value): ValueTransformer {
  return {
    to: (value: Value | null | undefined) => (value === null || value === undefined ? value : to(value)),
    from: (stored: Stored | null | undefined) => (stored === null || stored === undefined ? stored : from(stored)),
  };
}
