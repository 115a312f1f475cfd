/** ECDSA over a digest that somebody else computed: node:crypto always hashes, so it needs OpenSSL by FFI or arithmetic of our own. */
import type { KeyObject } from "node:crypto";
import type { CurveRow } from "./material.ts";

export interface EcSigner {
  /** DER signature (RFC 3279 §2.2.3) over the leftmost bits of `digest` (FIPS 186-5 §6.4.1). */
  sign(digest: Uint8Array): Uint8Array;
  verify(digest: Uint8Array, signature: Uint8Array): boolean;
  release(): void;
}

export type EcSignerFactory = (privateKey: KeyObject, curve: CurveRow) => EcSigner;
