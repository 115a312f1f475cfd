/** Signatures over what somebody else has hashed: node:crypto always hashes, so they need OpenSSL by FFI or arithmetic of our own. */
import type { KeyObject } from "node:crypto";
import type { PreparedInput } from "@casemate/foundation/ffi";
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

/** What Ed25519, Ed448, ML-DSA and SLH-DSA sign besides messages; see foundation/ffi. */
export type PreparedSignerFactory = (
  privateKey: KeyObject,
  algorithm: KeyAlgorithm,
  input: PreparedInput,
) => DigestSigner;
