/** Signatures over what somebody else has hashed: node:crypto always hashes, so they need OpenSSL by FFI or arithmetic of our own. */
import type { KeyObject } from "node:crypto";
import type { KeyAlgorithm } from "@casemate/protocols/hsm";
import type { CurveRow } from "./material.ts";

/** Of one key. `release` frees what the garbage collector does not. */
export interface DigestSigner {
  sign(digest: Uint8Array): Uint8Array;
  verify(digest: Uint8Array, signature: Uint8Array): boolean;
  release(): void;
}

/** ECDSA: DER signatures (RFC 3279 §2.2.3) over the leftmost bits of a digest (FIPS 186-5 §6.4.1). */
export type EcSignerFactory = (privateKey: KeyObject, curve: CurveRow) => DigestSigner;

/** ML-DSA over the 64-byte message representative μ (FIPS 204 §6.2). */
export type MuSignerFactory = (privateKey: KeyObject, algorithm: KeyAlgorithm) => DigestSigner;
