import { CasemateError } from "@casemate/foundation/errors";
import { constantTimeEqual } from "@casemate/foundation/secrets";
import type { Collection, Row, StoreHead } from "@casemate/keyring/core";
import { rowMac } from "./row-mac.ts";
import type { Statements, StoredRow } from "./statements.ts";

export interface Head extends StoreHead {
  readonly keyed: boolean;
  /** Sum of all row MACs. */
  readonly digest: bigint;
  readonly mac: Uint8Array | null;
}

/** @throws TAMPER_DETECTED naming the row. */
export function verifiedRow(key: Uint8Array, collection: Collection, found: StoredRow): Row {
  const { row, mac } = found;
  if (mac === null || !constantTimeEqual(rowMac(key, collection, row), mac))
    throw tampered(`${collection} ${String(row.index["name"] ?? row.id)}: its stored row was changed outside Casemate`);
  return row;
}

export function readHead(statements: Statements, file: string): Head {
  const row = statements.prepare("SELECT * FROM head").get();
  if (row === undefined) throw tampered(`${file}: the head row is missing`);
  return {
    keyed: row["keyed"] === 1,
    generation: row["generation"] as number,
    audit: { size: row["audit_size"] as number, hash: row["audit_hash"] as string },
    rows: row["rows"] as number,
    digest: BigInt(row["digest"] as string),
    mac: row["mac"] as Uint8Array | null,
  };
}

export function tampered(message: string, cause?: unknown): CasemateError {
  return new CasemateError("TAMPER_DETECTED", message, {
    hint: "Restore the data directory from a backup, and find out who changed it.",
    cause,
  });
}
