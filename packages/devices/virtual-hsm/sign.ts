/** Signatures: RFC 8017, FIPS 186-5, RFC 8032, FIPS 204, FIPS 205. One row per scheme. */
import { constants, hash, sign, verify, type KeyObject } from "node:crypto";
import type { Random } from "@casemate/foundation/effects";
import type { PreparedInput } from "@casemate/foundation/ffi";
import type { SignRequest, SignScheme, VerifyRequest } from "@casemate/protocols/hsm";
import type { DigestSigner } from "./digest-signer.ts";
import { digest, encodedPrehash, hashOf, type PrehashName } from "./prehash.ts";
import type { LoadedKey } from "./loaded-key.ts";
import { refuse } from "./refuse.ts";
import * as rsa from "./rsa-padding.ts";
import type { HashName } from "./rsa-padding.ts";
import type { Scheduler } from "./scheduler.ts";

type Kind = SignRequest["kind"];
type Signer = (input: Uint8Array) => Uint8Array;
type Verifier = (input: Uint8Array, signature: Uint8Array) => boolean;

interface SchemeRow {
  /** One signature of one input, on this thread. */
  signer(key: LoadedKey, kind: Kind, random: Random): Signer;
  verifier(key: LoadedKey, kind: Kind): Verifier;
  /** What `crypto.sign` needs to do the same on the thread pool; undefined when it cannot. */
  pooled?(key: LoadedKey, kind: Kind): { readonly hash: HashName | null; readonly options: SignOptions } | undefined;
}
interface SignOptions {
  readonly key: KeyObject;
  readonly padding?: number;
  readonly saltLength?: number;
}

const { RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST } = constants;

function digestOf(name: HashName, kind: Kind, input: Uint8Array): Uint8Array {
  if (kind === "message") return hash(name, input, "buffer");
  rsa.requireDigest(name, input);
  return input;
}

const pkcs1 = (name: HashName): SchemeRow => ({
  signer(key, kind) {
    const options = { key: key.private, padding: RSA_PKCS1_PADDING };
    if (kind === "message") return (input) => sign(name, input, options);
    return (input) => rsa.pkcs1Sign(key.private, rsa.digestInfo(name, digestOf(name, kind, input)));
  },
  verifier(key, kind) {
    return (input, signature) =>
      rsa.pkcs1Verify(key.public, rsa.digestInfo(name, digestOf(name, kind, input)), signature);
  },
  pooled: (key, kind) =>
    kind === "message" ? { hash: name, options: { key: key.private, padding: RSA_PKCS1_PADDING } } : undefined,
});

const pss = (name: HashName): SchemeRow => {
  const padding = { padding: RSA_PKCS1_PSS_PADDING, saltLength: RSA_PSS_SALTLEN_DIGEST };
  return {
    signer(key, kind, random) {
      if (kind === "message") return (input) => sign(name, input, { key: key.private, ...padding });
      return (input) => rsa.pssSignDigest(key.private, name, digestOf(name, kind, input), random);
    },
    verifier(key, kind) {
      return (input, signature) => rsa.pssVerifyDigest(key.public, name, digestOf(name, kind, input), signature);
    },
    pooled: (key, kind) => (kind === "message" ? { hash: name, options: { key: key.private, ...padding } } : undefined),
  };
};

const ecdsa = (name: HashName): SchemeRow => ({
  signer(key, kind) {
    const signer = key.ecSigner;
    return (input) => signer.sign(digestOf(name, kind, input));
  },
  verifier(key, kind) {
    const signer = key.ecSigner;
    return (input, signature) => signer.verify(digestOf(name, kind, input), signature);
  },
});

/** Longest digest of any hash in use, rounded up to P-521's order. */
const MAX_RAW_DIGEST = 66;

function rawDigest(input: Uint8Array): Uint8Array {
  if (input.length >= 1 && input.length <= MAX_RAW_DIGEST) return input;
  throw refuse(
    "BAD_REQUEST",
    `a digest has 1 to ${MAX_RAW_DIGEST} bytes, got ${input.length}`,
    "Hash the message first, or use ecdsa-sha256 with the message.",
  );
}

/** What signs digests under `pure`: nothing but ML-DSA can, and its digest is μ. */
function muSigner(key: LoadedKey): DigestSigner {
  if (key.row.family === "ml-dsa") return preparedSigner(key, "mu");
  const prehash = key.row.sign.filter((scheme) => scheme !== "pure");
  throw refuse(
    "NOT_SUPPORTED",
    `${key.algorithm} signs messages under pure, not digests: its signature covers the whole message in a way of its own`,
    `Send the message itself, or use ${prehash.join(" or ")}, whose signatures verify as such only.`,
  );
}

function preparedSigner(key: LoadedKey, input: PreparedInput): DigestSigner {
  const signer = key.preparedSigner(input);
  if (signer !== undefined) return signer;
  throw refuse(
    "NOT_SUPPORTED",
    `${key.algorithm} signs whole messages only on this machine: the device could not bind libcrypto`,
    "Send the message itself as the input, under pure.",
  );
}

/** Ed25519ph and Ed448ph sign the hash; HashML-DSA and HashSLH-DSA an encoding that names it. */
const prehash = (name: PrehashName): SchemeRow => {
  const bind = (key: LoadedKey, kind: Kind): [DigestSigner, (input: Uint8Array) => Uint8Array] => {
    const hashed = (input: Uint8Array): Uint8Array => (kind === "message" ? hashOf(name, input) : digest(name, input));
    return key.row.family === "edwards"
      ? [preparedSigner(key, "prehash"), hashed]
      : [preparedSigner(key, "encoded"), (input) => encodedPrehash(name, hashed(input))];
  };
  return {
    signer(key, kind) {
      const [signer, prepare] = bind(key, kind);
      return (input) => signer.sign(prepare(input));
    },
    verifier(key, kind) {
      const [signer, prepare] = bind(key, kind);
      return (input, signature) => signer.verify(prepare(input), signature);
    },
  };
};

const SCHEMES: Readonly<Record<SignScheme, SchemeRow>> = {
  "rsa-pkcs1-sha256": pkcs1("sha256"),
  "rsa-pkcs1-sha384": pkcs1("sha384"),
  "rsa-pkcs1-sha512": pkcs1("sha512"),
  "rsa-pkcs1-raw": {
    signer: (key) => (input) => rsa.pkcs1Sign(key.private, input),
    verifier: (key) => (input, signature) => rsa.pkcs1Verify(key.public, input, signature),
  },
  "rsa-pss-sha256": pss("sha256"),
  "rsa-pss-sha384": pss("sha384"),
  "rsa-pss-sha512": pss("sha512"),
  "rsa-raw": {
    signer(key) {
      // Keys that both sign and wrap were made by earlier versions.
      if (key.allows("wrap"))
        throw refuse(
          "KEY_USAGE",
          "a key that wraps keys makes no raw signatures: one would hand out what it wraps",
          "Make a key with the usage sign alone; this one signs with the other schemes, where they pad what they sign.",
        );
      return (input) => rsa.rawSign(key.private, input);
    },
    verifier: (key) => (input, signature) => rsa.rawVerify(key.public, input, signature),
  },
  "ecdsa-sha256": ecdsa("sha256"),
  "ecdsa-sha384": ecdsa("sha384"),
  "ecdsa-sha512": ecdsa("sha512"),
  "ecdsa-raw": {
    signer: (key) => (input) => key.ecSigner.sign(rawDigest(input)),
    verifier: (key) => (input, signature) => key.ecSigner.verify(rawDigest(input), signature),
  },
  pure: {
    signer(key, kind) {
      if (kind === "message") return (input) => sign(null, input, key.private);
      const signer = muSigner(key);
      return (input) => signer.sign(input);
    },
    verifier(key, kind) {
      if (kind === "message") return (input, signature) => verify(null, input, key.public, signature);
      const signer = muSigner(key);
      return (input, signature) => signer.verify(input, signature);
    },
    pooled: (key, kind) => (kind === "message" ? { hash: null, options: { key: key.private } } : undefined),
  },
  "prehash-sha256": prehash("sha256"),
  "prehash-sha384": prehash("sha384"),
  "prehash-sha512": prehash("sha512"),
  "prehash-shake256": prehash("shake256"),
};

function rowFor(key: LoadedKey, scheme: SignScheme): SchemeRow {
  key.require("sign");
  if (key.row.sign.includes(scheme)) return SCHEMES[scheme];
  throw refuse(
    "NOT_SUPPORTED",
    `${key.algorithm} does not sign with ${scheme}`,
    `Its schemes are ${key.row.sign.join(", ")}.`,
  );
}

function signOnPool(name: HashName | null, input: Uint8Array, options: SignOptions): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    sign(name, input, options, (error, signature) => (error === null ? resolve(signature) : reject(error)));
  });
}

type Answers<T> = (T | Error)[] | Promise<(T | Error)[]>;

export function signMany(
  key: LoadedKey,
  request: SignRequest,
  scheduler: Scheduler,
  random: Random,
): Answers<Uint8Array> {
  const row = rowFor(key, request.scheme);
  const signer = row.signer(key, request.kind, random);
  const pooled = row.pooled?.(key, request.kind);
  const heavy = key.row.slow || (key.row.family === "rsa" && (request.inputs.length > 1 || !scheduler.alone()));
  if (heavy && pooled !== undefined) {
    const one = (input: Uint8Array): Promise<Uint8Array> => signOnPool(pooled.hash, input, pooled.options);
    return scheduler.pooled(
      request.inputs,
      key.row.family === "slh-dsa" ? (input) => scheduler.long(() => one(input)) : one,
    );
  }
  return scheduler.each(request.inputs, signer);
}

export function verifyMany(key: LoadedKey, request: VerifyRequest, scheduler: Scheduler): Answers<boolean> {
  const verifier = rowFor(key, request.scheme).verifier(key, request.kind);
  return scheduler.each(request.items, ({ input, signature }) => verifier(input, signature));
}
