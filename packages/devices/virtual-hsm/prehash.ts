// Prehashes and what is signed of them: RFC 8032 §5.1 and §5.2, FIPS 204 §5.4.1 algorithm 4, FIPS 205 §10.2.2 algorithm 23; the context is empty.
import { createHash } from "node:crypto";
import { refuse } from "./refuse.ts";

export type PrehashName = "sha256" | "sha384" | "sha512" | "shake256";

interface HashRow {
  readonly bytes: number;
  /** DER of its object identifier (NIST, 2.16.840.1.101.3.4.2.x). */
  readonly oid: Uint8Array;
}

const oid = (last: number): Uint8Array => Uint8Array.fromHex(`060960864801650304020${last.toString(16)}`);

/** SHAKE256 with the 64 bytes of output that all three standards take. */
const HASHES: Readonly<Record<PrehashName, HashRow>> = {
  sha256: { bytes: 32, oid: oid(1) },
  sha384: { bytes: 48, oid: oid(2) },
  sha512: { bytes: 64, oid: oid(3) },
  shake256: { bytes: 64, oid: oid(12) },
};

export function hashOf(name: PrehashName, message: Uint8Array): Uint8Array {
  const options = name === "shake256" ? { outputLength: HASHES.shake256.bytes } : {};
  return createHash(name, options).update(message).digest();
}

/** @throws BAD_REQUEST for another size. */
export function digest(name: PrehashName, input: Uint8Array): Uint8Array {
  const { bytes } = HASHES[name];
  if (input.length === bytes) return input;
  throw refuse(
    "BAD_REQUEST",
    `a digest by ${name} has ${bytes} bytes, got ${input.length}`,
    "Hash the message with it, name the scheme of the hash that it was made by, or send the message itself.",
  );
}

/** M' = 1 ‖ 0 ‖ object identifier ‖ digest. */
export function encodedPrehash(name: PrehashName, hashed: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(1, 0), HASHES[name].oid, hashed]);
}
