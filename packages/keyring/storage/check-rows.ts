import { DatabaseSync } from "node:sqlite";
import { constantTimeEqual } from "@casemate/foundation/secrets";
import { COLLECTIONS, type Collection } from "@casemate/keyring/core";
import { IndexedRows } from "./indexed-rows.ts";
import { checkLayout } from "./layout.ts";
import { addMac, headMac } from "./row-mac.ts";
import { isDamage, storageError } from "./sqlite-errors.ts";
import { Statements } from "./statements.ts";
import { readHead, tampered, verifiedRow } from "./verified.ts";

/** Rows per slice, between which other work goes on. */
const SLICE = 250;

/**
 * Reads all rows as they stand at one moment, while commits go on beside it. Each row must carry its MAC, and all
 * together must give the sum of the head: else one was removed, inserted or put back to an older state. Indexes must lead to the
 * rows and to nothing else. @throws TAMPER_DETECTED naming the first bad row or index, or that pages are damaged; STORAGE_FAILED.
 */
export async function checkRows(file: string, key: Uint8Array, stopped: () => boolean): Promise<void> {
  const snapshot = new DatabaseSync(file, { readOnly: true });
  try {
    snapshot.exec("BEGIN");
    checkLayout(snapshot, file);
    const head = readHead(new Statements(snapshot), file);
    if (head.mac === null || !constantTimeEqual(headMac(key, head, head.digest), head.mac))
      throw tampered(`${file}: the head row was changed outside Casemate`);
    let digest = 0n;
    let rows = 0;
    const tables: IndexedRows[] = [];
    for (const collection of Object.keys(COLLECTIONS) as Collection[]) {
      const table = new IndexedRows(snapshot, collection);
      tables.push(table);
      let after = "";
      for (;;) {
        const slice = table.after(after, SLICE);
        for (const found of slice) {
          verifiedRow(key, collection, found);
          table.require(found, file);
          if (found.mac !== null) digest = addMac(digest, found.mac);
          after = found.row.id;
        }
        rows += slice.length;
        if (slice.length < SLICE) break;
        await breath();
        if (stopped()) return;
      }
    }
    if (rows !== head.rows) throw tampered(`${file}: ${rows} rows, the sealed head counts ${head.rows}`);
    if (digest !== head.digest) throw tampered(`${file}: a row was put back to an older state or replaced`);
    // Last: a row that was removed, its entries left, is better named by the above.
    for (const table of tables)
      for (const _ of table.requireNoMore(file)) {
        if (rows > SLICE) await breath();
        if (stopped()) return;
      }
  } catch (error) {
    const known = storageError(error, file);
    throw isDamage(error) ? tampered(known.message, error) : known;
  } finally {
    snapshot.close();
  }
}

function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
