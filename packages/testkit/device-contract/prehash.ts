// Signatures over prehashes, checked by a second implementation (noble): RFC 8032 §5.1 and §5.2, FIPS 204 §5.4, FIPS 205 §10.2.
import type { KeyObject } from "node:crypto";
import type { KeyAlgorithm, SignScheme } from "@casemate/devices/contract";
import { ed25519ph } from "@noble/curves/ed25519.js";
import { ed448ph } from "@noble/curves/ed448.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { shake256_64 } from "@noble/hashes/sha3.js";
import * as mlDsa from "@noble/post-quantum/ml-dsa.js";
import * as slhDsa from "@noble/post-quantum/slh-dsa.js";

type Hash = (message: Uint8Array) => Uint8Array;
interface Verifier {
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
}

const HASHES: ReadonlyMap<SignScheme, Hash> = new Map<SignScheme, Hash>([
  ["prehash-sha256", sha256],
  ["prehash-sha384", sha384],
  ["prehash-sha512", sha512],
  ["prehash-shake256", shake256_64],
]);

/** Noble's names: ml_dsa65, slh_dsa_sha2_128f. */
const SETS = new Map([...Object.entries(mlDsa), ...Object.entries(slhDsa)] as unknown as [
  string,
  { prehash(hash: Hash): Verifier },
][]);

function verifierOf(algorithm: KeyAlgorithm, hash: Hash): Verifier {
  if (algorithm === "ed25519") return ed25519ph;
  if (algorithm === "ed448") return ed448ph;
  const set = SETS.get(algorithm.replace(/^ml-dsa-/, "ml_dsa").replaceAll("-", "_"));
  if (set === undefined) throw new TypeError(`${algorithm} has no prehash`);
  return set.prehash(hash);
}

/** The digest of a message under a prehash scheme; undefined for schemes of another kind. */
export function prehashOf(scheme: SignScheme, message: Uint8Array): Uint8Array | undefined {
  return HASHES.get(scheme)?.(message);
}

/** Whether the signature is one of the message under the prehash scheme, by the second implementation. */
export function prehashVerifies(
  algorithm: KeyAlgorithm,
  scheme: SignScheme,
  key: KeyObject,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const hash = HASHES.get(scheme);
  if (hash === undefined) throw new TypeError(`${scheme} has no prehash`);
  return verifierOf(algorithm, hash).verify(signature, message, key.export({ format: "raw-public" }));
}
