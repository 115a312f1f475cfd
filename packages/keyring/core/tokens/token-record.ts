import { fromHex, toHex } from "@casemate/foundation/bytes";
import type { Row } from "../store.ts";
import { iso } from "../time.ts";
import type { Caller, Role, TokenView } from "../types.ts";

/** Times are milliseconds since the epoch. */
export interface TokenRecord {
  readonly id: string;
  readonly revision: number;
  readonly principal: string;
  readonly kind: Caller["kind"];
  readonly roles: readonly Role[];
  /** SHA-256 of the secret. */
  readonly hash: Uint8Array;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly expiresAt?: number;
  readonly lastUsedAt?: number;
  readonly revokedAt?: number;
  readonly note?: string;
  /** Made by the server for its own account; replaced by the next of its kind. */
  readonly bootstrap?: true;
}

export function tokenToRow(record: TokenRecord): Row {
  const { revision, hash, ...rest } = record;
  return {
    id: record.id,
    revision,
    body: JSON.stringify({ ...rest, hash: toHex(hash) }),
    index: { principal: record.principal },
  };
}

export function tokenFromRow(row: Row): TokenRecord {
  const body = JSON.parse(row.body) as Omit<TokenRecord, "hash" | "revision"> & { hash: string };
  return { ...body, revision: row.revision, hash: fromHex(body.hash) };
}

export function tokenView(record: TokenRecord): TokenView {
  return {
    id: record.id,
    principal: record.principal,
    roles: record.roles,
    createdAt: iso(record.createdAt),
    ...(record.expiresAt === undefined ? {} : { expiresAt: iso(record.expiresAt) }),
    ...(record.lastUsedAt === undefined ? {} : { lastUsedAt: iso(record.lastUsedAt) }),
    ...(record.revokedAt === undefined ? {} : { revokedAt: iso(record.revokedAt) }),
    ...(record.note === undefined ? {} : { note: record.note }),
  };
}
