import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { CasemateError } from "@casemate/foundation/errors";
import { COLLECTIONS, type Cell, type Collection, type Row, type StoreQuery } from "@casemate/keyring/core";

export interface StoredRow {
  readonly row: Row;
  readonly mac: Uint8Array | null;
}

/** Prepared statements, made on first use; texts come from the collection table alone, values are always bound. */
export class Statements {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  prepare(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }

  get(collection: Collection, column: string, value: string): StoredRow | undefined {
    const sql = `SELECT * FROM ${collection} WHERE ${known(collection, column)} = ?`;
    const found = this.prepare(sql).get(value);
    return found === undefined ? undefined : stored(collection, found);
  }

  find(collection: Collection, query: StoreQuery): StoredRow[] {
    const { where, values } = conditions(collection, query);
    const order = known(collection, query.order);
    if (query.after !== undefined) {
      where.push(`${order} > ?`);
      values.push(query.after);
    }
    const filter = where.length === 0 ? "" : `WHERE ${where.join(" AND ")}`;
    // The planner cannot know how few they are, and would walk along the order.
    const index = query.atMost?.rare === true ? `INDEXED BY ${collection}_${query.atMost.column}` : "";
    const sql = `SELECT * FROM ${collection} ${index} ${filter} ORDER BY ${order} LIMIT ?`;
    return this.prepare(sql)
      .all(...values, query.limit)
      .map((found) => stored(collection, found));
  }

  count(collection: Collection, equals: Readonly<Record<string, string | number>>): number {
    const { where, values } = conditions(collection, { equals });
    const filter = where.length === 0 ? "" : `WHERE ${where.join(" AND ")}`;
    return Number(this.prepare(`SELECT count(*) AS n FROM ${collection} ${filter}`).get(...values)?.["n"]);
  }

  countBy(collection: Collection, column: string): Map<string, number> {
    const by = known(collection, column);
    const rows = this.prepare(`SELECT ${by} AS value, count(*) AS n FROM ${collection} GROUP BY ${by}`).all();
    return new Map(rows.map(({ value, n }) => [String(value), Number(n)]));
  }

  insert(collection: Collection, row: Row, mac: Uint8Array | null): void {
    const columns = Object.keys(COLLECTIONS[collection]);
    const names = ["id", "revision", "body", "mac", ...columns];
    this.prepare(`INSERT INTO ${collection} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`).run(
      row.id,
      row.revision,
      row.body,
      mac,
      ...columns.map((column) => row.index[column] ?? null),
    );
  }

  update(collection: Collection, row: Row, mac: Uint8Array | null): void {
    const columns = Object.keys(COLLECTIONS[collection]);
    const sets = ["revision", "body", "mac", ...columns].map((column) => `${column} = ?`);
    this.prepare(`UPDATE ${collection} SET ${sets.join(", ")} WHERE id = ?`).run(
      row.revision,
      row.body,
      mac,
      ...columns.map((column) => row.index[column] ?? null),
      row.id,
    );
  }

  delete(collection: Collection, id: string): void {
    this.prepare(`DELETE FROM ${collection} WHERE id = ?`).run(id);
  }
}

function conditions(
  collection: Collection,
  query: Pick<StoreQuery, "equals" | "prefix" | "atMost">,
): { where: string[]; values: SQLInputValue[] } {
  const where: string[] = [];
  const values: SQLInputValue[] = [];
  for (const [column, value] of Object.entries(query.equals ?? {})) {
    where.push(`${known(collection, column)} = ?`);
    values.push(value);
  }
  if (query.prefix !== undefined) {
    const column = known(collection, query.prefix.column);
    where.push(`${column} >= ? AND ${column} < ?`);
    values.push(query.prefix.text, `${query.prefix.text}\u{10ffff}`);
  }
  if (query.atMost !== undefined) {
    where.push(`${known(collection, query.atMost.column)} <= ?`);
    values.push(query.atMost.value);
  }
  return { where, values };
}

function known(collection: Collection, column: string): string {
  if (column === "id" || Object.hasOwn(COLLECTIONS[collection], column)) return column;
  throw new CasemateError("INTERNAL", `${collection} has no column ${column}`);
}

export function stored(collection: Collection, found: Record<string, unknown>): StoredRow {
  const index: Record<string, Cell> = {};
  for (const column of Object.keys(COLLECTIONS[collection])) index[column] = found[column] as Cell;
  return {
    row: {
      id: found["id"] as string,
      revision: found["revision"] as number,
      body: found["body"] as string,
      index,
    },
    mac: found["mac"] as Uint8Array | null,
  };
}
