// Implements: C_Sign and C_Verify for PKCS #1 v1.5 and PSS (RFC 8017), ECDSA (FIPS 186-5) and EdDSA (RFC 8032).
import { hash as hashOf } from "node:crypto";
import type { InputKind, KeyRef, SignScheme } from "@casemate/devices/contract";
import { concat } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { CKG, CKK, CKM, CKR } from "@casemate/protocols/p11-rpc";
import { ALGORITHM_ROWS, DIGEST_INFO, type Hash, type OaepHash } from "../algorithms.ts";
import { fromDer, toDer } from "../ec-signature.ts";
import { hasRv } from "../status.ts";
import type { Handlers } from "../wire.ts";
import type { Mechanism } from "./addon.ts";
import { buffer, eachItem, mustAllow, withKey } from "./batch.ts";
import type { Key, KeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";

export const HASHES: Readonly<
  Record<OaepHash, { readonly bytes: number; readonly mechanism: number; readonly mgf: number }>
> = {
  sha1: { bytes: 20, mechanism: CKM.SHA_1, mgf: CKG.MGF1_SHA1 },
  sha256: { bytes: 32, mechanism: CKM.SHA256, mgf: CKG.MGF1_SHA256 },
  sha384: { bytes: 48, mechanism: CKM.SHA384, mgf: CKG.MGF1_SHA384 },
  sha512: { bytes: 64, mechanism: CKM.SHA512, mgf: CKG.MGF1_SHA512 },
};

/** Longest digest that ecdsa-raw takes. */
const MAX_EC_DIGEST = 66;
const PKCS1_PADDING = 11;
const MAX_SIGNATURE = 1024;

interface Way {
  readonly mechanism: Mechanism;
  /** What goes to the token for an input. @throws BAD_REQUEST */
  readonly block: (input: Uint8Array) => Uint8Array;
  /** The contract's signature from the token's. */
  readonly outward: (signature: Uint8Array) => Uint8Array;
  /** The token's signature from the contract's; undefined for what cannot be one. */
  readonly inward: (signature: Uint8Array) => Uint8Array | undefined;
}

const misfit = (what: string): CasemateError => new CasemateError("BAD_REQUEST", what);

function digestOf(hash: Hash, kind: InputKind, input: Uint8Array): Uint8Array {
  if (kind === "message") return hashOf(hash, input, "buffer");
  const { bytes } = HASHES[hash];
  if (input.length !== bytes) throw misfit(`a ${hash} digest has ${bytes} bytes, not ${input.length}`);
  return input;
}

const exactly =
  (length: number) =>
  (signature: Uint8Array): Uint8Array | undefined =>
    signature.length === length ? signature : undefined;

/** A copy of what the token gave, which is overwritten next. @throws DEVICE_FAILED for what is no signature of that length. */
const ofLength =
  (length: number, what: string) =>
  (signature: Uint8Array): Uint8Array => {
    if (signature.length === length) return Uint8Array.from(signature);
    throw new CasemateError("DEVICE_FAILED", `the token gave ${signature.length} bytes as ${what}, not ${length}`);
  };

function rsaBlock(scheme: SignScheme, hash: Hash | undefined, kind: InputKind, modulus: Uint8Array) {
  const size = modulus.length;
  return (input: Uint8Array): Uint8Array => {
    if (hash !== undefined) {
      const digest = digestOf(hash, kind, input);
      return scheme.startsWith("rsa-pss") ? digest : concat(DIGEST_INFO[hash], digest);
    }
    if (scheme === "rsa-pkcs1-raw") {
      if (input.length > size - PKCS1_PADDING)
        throw misfit(`at most ${size - PKCS1_PADDING} bytes fit into a PKCS #1 block of this key, not ${input.length}`);
      return input;
    }
    if (input.length !== size) throw misfit(`a block of exactly ${size} bytes, not ${input.length}`);
    if (Buffer.compare(input, modulus) >= 0) throw misfit("the block is not less than the modulus");
    return input;
  };
}

function ecBlock(hash: Hash | undefined, kind: InputKind, orderBytes: number) {
  return (input: Uint8Array): Uint8Array => {
    if (hash === undefined && (input.length === 0 || input.length > MAX_EC_DIGEST))
      throw misfit(`a digest of 1 to ${MAX_EC_DIGEST} bytes, not ${input.length}`);
    const digest = hash === undefined ? input : digestOf(hash, kind, input);
    // The leftmost bits count; modules differ in whether they cut by themselves.
    return digest.length > orderBytes ? digest.subarray(0, orderBytes) : digest;
  };
}

function wayOf(lane: Lane, keys: KeyStore, key: Key, scheme: SignScheme, kind: InputKind): Way {
  const found = lane.plan.sign(scheme);
  if (found === undefined || !found.row.keyTypes.includes(key.keyType))
    throw new CasemateError("NOT_SUPPORTED", `${key.algorithm} keys of this token do not sign with ${scheme}`);
  const { row, hashing } = found;
  if (kind === "digest" && (hashing || scheme === "pure"))
    throw new CasemateError("NOT_SUPPORTED", `${scheme} on this token covers the message itself, not a digest`);
  mustAllow(key.may.sign, "sign");
  const mechanism: Mechanism = { mechanism: found.mechanism, ...pssParameter(lane, row.pss === true, row.hash) };
  if (key.keyType === CKK.RSA) {
    const modulus = keys.publicHalf(key).modulus ?? new Uint8Array();
    const block = hashing ? (input: Uint8Array) => input : rsaBlock(scheme, row.hash, kind, modulus);
    const outward = ofLength(modulus.length, "an RSA signature");
    return { mechanism, block, outward, inward: exactly(modulus.length) };
  }
  const curve = ALGORITHM_ROWS.get(key.algorithm)?.curve;
  const size = curve?.size ?? 0;
  if (key.keyType === CKK.EC_EDWARDS)
    return {
      mechanism,
      block: (input) => input,
      outward: ofLength(size * 2, "an EdDSA signature"),
      inward: exactly(size * 2),
    };
  return {
    mechanism,
    block: hashing ? (input) => input : ecBlock(row.hash, kind, size),
    outward: (signature) => toDer(ofLength(2 * size, "an ECDSA signature")(signature)),
    inward: (signature) => fromDer(signature, size),
  };
}

function pssParameter(lane: Lane, pss: boolean, hash: Hash | undefined): Pick<Mechanism, "parameter"> {
  if (!pss || hash === undefined) return {};
  const { bytes, mechanism, mgf } = HASHES[hash];
  return { parameter: { type: lane.params.pss, hashAlg: mechanism, mgf, saltLen: bytes } };
}

/** Values that mean "this is no signature of it" rather than a failure. */
const NOT_A_SIGNATURE = [CKR.SIGNATURE_INVALID, CKR.SIGNATURE_LEN_RANGE, CKR.DATA_INVALID, CKR.DATA_LEN_RANGE] as const;

/** Ways are the same for every call with the same key and scheme. */
function remembered(lane: Lane, keys: KeyStore) {
  const ways = new WeakMap<Key, Map<string, Way>>();
  return (key: Key, scheme: SignScheme, kind: InputKind): Way => {
    let ofKey = ways.get(key);
    if (ofKey === undefined) ways.set(key, (ofKey = new Map()));
    const name = `${scheme} ${kind}`;
    let way = ofKey.get(name);
    if (way === undefined) ofKey.set(name, (way = wayOf(lane, keys, key, scheme, kind)));
    return way;
  };
}

export function signHandlers(lane: Lane, keys: KeyStore): Pick<Handlers, "sign" | "verify"> {
  const { cryptoki, session } = lane;
  const out = Buffer.alloc(MAX_SIGNATURE);
  const way = remembered(lane, keys);

  const signOne = (key: Key, { mechanism, block, outward }: Way, input: Uint8Array): Uint8Array => {
    const data = buffer(block(input));
    return session.run((open) => {
      cryptoki.C_SignInit(open, mechanism, key.handle);
      return outward(cryptoki.C_Sign(open, data, out));
    });
  };
  const verifyOne = (
    key: Key,
    { mechanism, block, inward }: Way,
    input: Uint8Array,
    signature: Uint8Array,
  ): boolean => {
    const data = buffer(block(input));
    const inner = inward(signature);
    if (inner === undefined) return false;
    const { handle } = keys.publicHalf(key);
    return session.run((open) => {
      cryptoki.C_VerifyInit(open, mechanism, handle);
      return cryptoki.C_Verify(open, data, buffer(inner));
    });
  };

  return {
    sign: ({ ref, scheme, kind, inputs }: { ref: KeyRef; scheme: SignScheme; kind: InputKind; inputs: Uint8Array[] }) =>
      withKey(keys, ref, (key) => {
        const chosen = way(key, scheme, kind);
        return eachItem(inputs, (input) => signOne(key, chosen, input));
      }),
    verify: ({ ref, scheme, kind, items }) =>
      withKey(keys, ref, (key) => {
        const chosen = way(key, scheme, kind);
        return eachItem(
          items,
          ({ input, signature }) => verifyOne(key, chosen, input, signature),
          (error) => (hasRv(error, ...NOT_A_SIGNATURE) ? false : undefined),
        );
      }),
  };
}
