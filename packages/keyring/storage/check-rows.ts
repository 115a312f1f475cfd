import { DatabaseSync } from "node:sqlite";
import { constantTimeEqual } from "@casemate/foundation/secrets";
import { COLLECTIONS, type Collection } from "@casemate/keyring/core";
import { addMac, headMac } from "./row-mac.ts";
import { storageError } from "./sqlite-errors.ts";
import { Statements } from "./statements.ts";
import { readHead, tampered, verifiedRow } from "./verified.ts";

/** Rows per slice, between which other work goes on. */
const SLICE = 500;

/**
 * Reads all rows as they stand at one moment, while commits go on beside it. Each row must carry its MAC, and all
 * together must give the sum of the head: else one was removed, inserted or put back to an older state.
 * @throws TAMPER_DETECTED naming the first bad row, STORAGE_FAILED.
 */
export async function checkRows(file: string, key: Uint8Array, stopped: () => boolean): Promise<void> {
  const snapshot = new DatabaseSync(file, { readOnly: true });
  try {
    snapshot.exec("BEGIN");
    const statements = new Statements(snapshot);
    const head = readHead(statements, file);
    if (head.mac === null || !constantTimeEqual(headMac(key, head, head.digest), head.mac))
      throw tampered(`${file}: the head row was changed outside Casemate`);
    let digest = 0n;
    let rows = 0;
    for (const collection of Object.keys(COLLECTIONS) as Collection[]) {
      let after = "";
      for (;;) {
        const slice = statements.find(collection, { order: "id", after, limit: SLICE });
        for (const found of slice) {
          verifiedRow(key, collection, found);
          if (found.mac !== null) digest = addMac(digest, found.mac);
          after = found.row.id;
        }
        rows += slice.length;
        if (slice.length < SLICE) break;
        await new Promise((resolve) => setImmediate(resolve));
        if (stopped()) return;
      }
    }
    if (rows !== head.rows) throw tampered(`${file}: ${rows} rows, the sealed head counts ${head.rows}`);
    if (digest !== head.digest) throw tampered(`${file}: a row was put back to an older state or replaced`);
  } catch (error) {
    throw storageError(error, file);
  } finally {
    snapshot.close();
  }
}
