/** Which of several public keys belongs to a private one whose public part the token does not show: the one that its signature verifies with. */
import { createPublicKey, hash as hashOf, randomBytes, verify } from "node:crypto";
import type { SignScheme } from "@casemate/devices/contract";
import { concat, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { CKA, CKK } from "@casemate/protocols/p11-rpc";
import { DIGEST_INFO, type Hash } from "../algorithms.ts";
import { NOT_WITH_THIS_KEY, hasRv } from "../status.ts";
import type { Handle } from "./addon.ts";
import { flag, readAttributes } from "./attributes.ts";
import type { Lane } from "./lane.ts";

/** What a key must be known by to sign once. */
export interface Signer {
  readonly handle: Handle;
  readonly keyType: number;
  readonly may: { readonly sign?: boolean };
}

/** Node's answer, as that of a public key in SubjectPublicKeyInfo. */
export type Belongs = (spki: Uint8Array) => boolean;

/** Nobody else asks for a signature over this, so that it is good for nothing else. */
const DOMAIN = toUtf8("Casemate: which public key belongs to this private key?\0");
const NONCE_BYTES = 32;
const MAX_SIGNATURE = 1024;
/** RSA of 1024 bits, and more. */
const LEAST_RSA_BYTES = 128;
/** Two numbers of a curve's order. */
const EC_BYTES: readonly number[] = [64, 96, 132];
const EDWARDS_BYTES: readonly number[] = [64, 114];

/** What is none says nothing about the key. */
function isSignature(keyType: number, { length }: Uint8Array): boolean {
  if (keyType === CKK.RSA) return length >= LEAST_RSA_BYTES;
  return (keyType === CKK.EC ? EC_BYTES : EDWARDS_BYTES).includes(length);
}

interface Trial {
  readonly scheme: SignScheme;
  readonly hash?: Hash;
  /** Before the digest, in what the token signs. */
  readonly prefix?: Uint8Array;
}

/** By key type; the first one that the token has. Digests of 256 bits fit every curve. */
const TRIALS: ReadonlyMap<number, readonly Trial[]> = new Map<number, readonly Trial[]>([
  [CKK.RSA, [{ scheme: "rsa-pkcs1-sha256", hash: "sha256", prefix: DIGEST_INFO.sha256 }]],
  [CKK.EC, (["sha256", "sha384", "sha512"] as const).map((hash) => ({ scheme: `ecdsa-${hash}` as const, hash }))],
  [CKK.EC_EDWARDS, [{ scheme: "pure" }]],
]);

/**
 * Signs once. Undefined where the key cannot show what it is: it does not sign, wants a PIN for each use, or the token has
 * no mechanism for it. @throws any other failure: what was not tried shows nothing.
 */
export function proofOf(lane: Lane, session: Handle, { handle, keyType, may }: Signer): Belongs | undefined {
  const { cryptoki, plan } = lane;
  const trial = (TRIALS.get(keyType) ?? []).find(({ scheme }) => plan.sign(scheme) !== undefined);
  const found = trial === undefined ? undefined : plan.sign(trial.scheme);
  if (trial === undefined || found === undefined || may.sign === false) return undefined;
  const { mechanism, hashing } = found;
  if (flag(readAttributes(cryptoki, session, handle, [CKA.ALWAYS_AUTHENTICATE]).get(CKA.ALWAYS_AUTHENTICATE)) === true)
    return undefined;
  const { hash, prefix = new Uint8Array() } = trial;
  const message = concat(DOMAIN, randomBytes(NONCE_BYTES));
  const data = hash === undefined || hashing ? message : concat(prefix, hashOf(hash, message, "buffer"));
  try {
    cryptoki.C_SignInit(session, { mechanism }, handle);
    const signature = Uint8Array.from(cryptoki.C_Sign(session, Buffer.from(data), Buffer.alloc(MAX_SIGNATURE)));
    if (!isSignature(keyType, signature))
      throw new CasemateError("DEVICE_FAILED", `the token gave ${signature.length} bytes as a signature`);
    return (spki) => verifies(spki, hash, message, signature);
  } catch (error) {
    if (!hasRv(error, ...NOT_WITH_THIS_KEY)) throw error;
    return undefined;
  }
}

function verifies(spki: Uint8Array, hash: Hash | undefined, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    return verify(hash, message, { key, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false;
  }
}
