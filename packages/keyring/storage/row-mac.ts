import { createHmac } from "node:crypto";
import { COLLECTIONS, type Collection, type Row, type StoreHead } from "@casemate/keyring/core";

const MODULUS = 1n << 256n;

/** HMAC-SHA-256 over everything a row says, unambiguously. */
export function rowMac(key: Uint8Array, collection: Collection, row: Row): Uint8Array {
  const cells = Object.keys(COLLECTIONS[collection]).map((column) => row.index[column] ?? null);
  const text = JSON.stringify([collection, row.id, row.revision, cells]);
  return createHmac("sha256", key).update(text).update("\n").update(row.body).digest();
}

export function headMac(key: Uint8Array, head: StoreHead, digest: bigint): Uint8Array {
  const text = JSON.stringify(["head", head.generation, head.audit.size, head.audit.hash, head.rows, String(digest)]);
  return createHmac("sha256", key).update(text).digest();
}

/**
 * Sum of all row MACs modulo 2^256: a keyed multiset hash. One row put back to an older state, removed or
 * inserted changes the sum, although each row alone would verify.
 */
export function addMac(digest: bigint, mac: Uint8Array): bigint {
  return (digest + BigInt(`0x${mac.toHex()}`)) % MODULUS;
}

export function removeMac(digest: bigint, mac: Uint8Array): bigint {
  return (digest - BigInt(`0x${mac.toHex()}`) + MODULUS) % MODULUS;
}
