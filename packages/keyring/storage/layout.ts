import { DatabaseSync } from "node:sqlite";
import { migrate } from "./migrations.ts";
import { tampered } from "./verified.ts";

/** What SQLite keeps of the layout, by kind and name. Statistics of ANALYZE are no part of it: they change how fast an answer comes alone. */
function layoutOf(db: DatabaseSync): ReadonlyMap<string, string> {
  const found = db
    .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'")
    .all();
  return new Map(
    found.map(({ type, name, tbl_name, sql }) => [`${String(type)} ${String(name)}`, JSON.stringify([tbl_name, sql])]),
  );
}

/** What the migrations make. */
function expectedLayout(): ReadonlyMap<string, string> {
  const db = new DatabaseSync(":memory:");
  try {
    migrate(db, "the layout");
    return layoutOf(db);
  } finally {
    db.close();
  }
}

/**
 * Tables and indexes must be those that the migrations make: a trigger, a view or an index of another making could change, hide or
 * invent rows, and what is missing would be met by whoever asks first. @throws TAMPER_DETECTED naming it.
 */
export function checkLayout(db: DatabaseSync, file: string): void {
  const found = layoutOf(db);
  const expected = expectedLayout();
  for (const [what, as] of expected) {
    if (!found.has(what)) throw tampered(`${file}: ${what} is missing`);
    if (found.get(what) !== as) throw tampered(`${file}: ${what} was changed outside Casemate`);
  }
  for (const what of found.keys())
    if (!expected.has(what)) throw tampered(`${file}: ${what} was added outside Casemate`);
}
