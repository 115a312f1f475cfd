import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { CasemateError } from "@casemate/foundation/errors";
import type { Collection } from "@casemate/keyring/core";
import { stored, type StoredRow } from "./statements.ts";
import { tampered } from "./verified.ts";

interface Index {
  readonly name: string;
  readonly columns: readonly string[];
  /** Only of rows where its first column is set, which is what every partial index of the layout says. */
  readonly partial: boolean;
  /** How many of the rows belong into it. */
  rows: number;
}

/** A row, and the first index that does not lead to it. */
export interface IndexedRow extends StoredRow {
  readonly hidden: string | null;
}

/**
 * The rows of one table, each looked up through every index as well. SQLite believes its indexes: an entry that was changed hides its row
 * from whoever asks for that name, although the row itself is untouched. Where each row is found through an index and the index has no
 * further entries, its entries are the rows, and in order, else the search would have missed one.
 */
export class IndexedRows {
  readonly #db: DatabaseSync;
  readonly #table: Collection;
  readonly #indexes: readonly Index[];
  readonly #slice: StatementSync;

  constructor(db: DatabaseSync, table: Collection) {
    this.#db = db;
    this.#table = table;
    this.#indexes = indexesOf(db, table);
    const cases = this.#indexes.map((index) => {
      const same = [...index.columns, "rowid"].map((column) => `entry.${column} = found.${column}`).join(" AND ");
      const entry = `SELECT 1 FROM ${table} AS entry INDEXED BY ${index.name} WHERE ${same}`;
      return `WHEN ${index.partial ? `found.${first(index)} IS NOT NULL AND ` : ""}NOT EXISTS (${entry}) THEN '${index.name}'`;
    });
    this.#slice = db.prepare(
      `SELECT *, CASE ${cases.join(" ")} END AS hidden FROM ${table} AS found WHERE id > ? ORDER BY id LIMIT ?`,
    );
  }

  /** In the order of their ids. */
  after(id: string, limit: number): IndexedRow[] {
    return this.#slice
      .all(id, limit)
      .map((found) => ({ ...stored(this.#table, found), hidden: found["hidden"] as string | null }));
  }

  /** For rows that are known to be untouched. @throws TAMPER_DETECTED naming the index that does not lead to it. */
  require({ row, hidden }: IndexedRow, file: string): void {
    for (const index of this.#indexes) {
      if (index.name === hidden)
        throw this.#wrong(file, index, `it does not lead to ${String(row.index["name"] ?? row.id)}`);
      if (!index.partial || row.index[first(index)] !== null) index.rows += 1;
    }
  }

  /** Once all rows were required, one index at a time. @throws TAMPER_DETECTED naming the one that has more entries. */
  *requireNoMore(file: string): Generator<void> {
    for (const index of this.#indexes) {
      const filter = index.partial ? `WHERE ${first(index)} IS NOT NULL` : "";
      // Not count(*), which SQLite answers from whichever index is smallest.
      const sql = `SELECT count(rowid) AS n FROM ${this.#table} INDEXED BY ${index.name} ${filter}`;
      const entries = Number(this.#db.prepare(sql).get()?.["n"]);
      if (entries !== index.rows) throw this.#wrong(file, index, `it has ${entries} entries for ${index.rows} rows`);
      yield;
    }
  }

  #wrong(file: string, { name, columns }: Index, why: string): CasemateError {
    const which = `index ${name} of table ${this.#table} (${columns.join(", ")})`;
    return tampered(`${file}: ${which} was changed outside Casemate: ${why}`);
  }
}

function indexesOf(db: DatabaseSync, table: Collection): Index[] {
  return db
    .prepare("SELECT name, partial FROM pragma_index_list(?)")
    .all(table)
    .map(({ name, partial }) => ({
      name: String(name),
      columns: db
        .prepare("SELECT name FROM pragma_index_info(?)")
        .all(name as string)
        .map((column) => String(column["name"])),
      partial: partial === 1,
      rows: 0,
    }));
}

function first({ columns }: Index): string {
  return columns[0] ?? "id";
}
