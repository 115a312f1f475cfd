/** What private keys do: RSA (RFC 8017), ECDSA (FIPS 186-5), EdDSA (RFC 8032), key agreement (SP 800-56A, RFC 7748). */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPair,
  privateDecrypt,
  sign as nodeSign,
  type KeyObject,
} from "node:crypto";
import { concat, fromHex, toBase64Url } from "@casemate/foundation/bytes";
import type { EcDigestCalls } from "@casemate/foundation/ffi";
import type { CurveName, RequestOf } from "@casemate/protocols/session-keys";
import type { HeldPrivate } from "./key-store.ts";
import { attempt, refuse } from "./refuse.ts";
import { withPrimes } from "./rsa-primes.ts";

/** On a thread of its own. */
function makePrivate(type: string, options: Readonly<Record<string, unknown>>): Promise<KeyObject> {
  const generate = generateKeyPair as unknown as (
    type: string,
    options: Readonly<Record<string, unknown>>,
    done: (error: Error | null, publicKey: KeyObject, privateKey: KeyObject) => void,
  ) => void;
  return new Promise((resolve, reject) =>
    generate(type, options, (error, _publicKey, privateKey) => {
      if (error === null) resolve(privateKey);
      else reject(refuse("DEVICE_FAILED", "OpenSSL made no key pair"));
    }),
  );
}

const OIDS: Readonly<Record<CurveName, string>> = {
  prime256v1: "06082a8648ce3d030107",
  secp384r1: "06052b81040022",
  secp521r1: "06052b81040023",
  secp256k1: "06052b8104000a",
  ed25519: "06032b6570",
  ed448: "06032b6571",
  x25519: "06032b656e",
  x448: "06032b656f",
};
/** Bytes of a scalar on the curves that share one algorithm. */
const SCALARS: Readonly<Partial<Record<CurveName, number>>> = {
  prime256v1: 32,
  secp384r1: 48,
  secp521r1: 66,
  secp256k1: 32,
};
const EC_PUBLIC_KEY = "06072a8648ce3d0201";
const MIN_EXPONENT = 65_537;

export async function generateRsa({ bits, exponent }: RequestOf<"generateRsa">): Promise<KeyObject> {
  if (bits < 1024 || bits > 4096 || bits % 8 !== 0 || exponent < MIN_EXPONENT || exponent % 2 === 0)
    throw refuse("BAD_REQUEST", `no RSA key has ${bits} bits and the exponent ${exponent} here`);
  return makePrivate("rsa", { modulusLength: bits, publicExponent: exponent });
}

export function generateOnCurve(curve: CurveName): Promise<KeyObject> {
  return SCALARS[curve] === undefined ? makePrivate(curve, {}) : makePrivate("ec", { namedCurve: curve });
}

/** @throws BAD_REQUEST. */
export function readPkcs8(pkcs8: Uint8Array): KeyObject {
  const key = attempt("BAD_REQUEST", "no private key in PKCS#8", () =>
    createPrivateKey({ key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.length), format: "der", type: "pkcs8" }),
  );
  const known = key.asymmetricKeyType === "ec" ? key.asymmetricKeyDetails?.namedCurve : key.asymmetricKeyType;
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (known === "rsa" ? bits < 1024 || bits > 4096 : !Object.hasOwn(OIDS, known ?? ""))
    throw refuse("BAD_REQUEST", `keys of the type ${known ?? "unknown"} are not held here`);
  return key;
}

/** @throws BAD_REQUEST. */
export function readRsa(request: RequestOf<"importRsa">): KeyObject {
  const { n, e, d, p, q, dp, dq, qi } = withPrimes(request);
  const text = (value: Uint8Array): string => toBase64Url(value);
  const jwk = { n: text(n), e: text(e), d: text(d), p: text(p), q: text(q), dp: text(dp), dq: text(dq), qi: text(qi) };
  const key = attempt("BAD_REQUEST", "these numbers are no RSA key", () =>
    createPrivateKey({ key: { kty: "RSA", ...jwk }, format: "jwk" }),
  );
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < 512 || bits > 4096) throw refuse("BAD_REQUEST", `an RSA key of ${bits} bits`);
  return key;
}

function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concat(...content);
  const { length } = body;
  return concat(new Uint8Array(length < 0x80 ? [tag, length] : [tag, 0x81, length]), body);
}

/** @throws BAD_REQUEST. */
export function readOnCurve({ curve, value }: RequestOf<"importCurve">): KeyObject {
  const version = der(0x02, new Uint8Array([0]));
  const oid = fromHex(OIDS[curve]);
  const size = SCALARS[curve];
  if (size === undefined) return readPkcs8(der(0x30, version, der(0x30, oid), der(0x04, der(0x04, value))));
  // A PKCS #11 Big integer may begin with zeros.
  const first = value.findIndex((byte) => byte !== 0);
  const digits = first === -1 ? value.subarray(value.length) : value.subarray(first);
  if (digits.length > size) throw refuse("BAD_REQUEST", `a scalar of ${digits.length} bytes on ${curve}`);
  const scalar = concat(new Uint8Array(size - digits.length), digits);
  const inner = der(0x30, der(0x02, new Uint8Array([1])), der(0x04, scalar));
  return readPkcs8(der(0x30, version, der(0x30, fromHex(EC_PUBLIC_KEY), oid), der(0x04, inner)));
}

/** @throws BAD_REQUEST for a private key without a public one, such as the scalar 0. */
export function spkiOf(key: KeyObject): Uint8Array {
  return attempt("BAD_REQUEST", "no public key belongs to this private key", () => {
    const publicKey = createPublicKey(key);
    // The point at infinity has no coordinates, and this is how OpenSSL says so.
    if (key.asymmetricKeyType === "ec") publicKey.export({ format: "jwk" });
    return publicKey.export({ format: "der", type: "spki" });
  });
}

export function pkcs8Of(key: KeyObject): Uint8Array {
  return key.export({ format: "der", type: "pkcs8" });
}

/** @throws KEY_USAGE, BAD_REQUEST, NOT_SUPPORTED. */
export function sign(held: HeldPrivate, request: RequestOf<"sign">, ecDigest: EcDigestCalls | undefined): Uint8Array {
  const { key } = held;
  const { scheme, input } = request;
  const type = key.asymmetricKeyType;
  if (scheme === "rsa-raw" && type === "rsa") {
    return attempt("BAD_REQUEST", "the input is not below the modulus", () =>
      privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, input),
    );
  }
  if (scheme === "eddsa" && (type === "ed25519" || type === "ed448")) return nodeSign(null, input, key);
  if (scheme === "ecdsa" && type === "ec") {
    if (ecDigest === undefined) throw refuse("NOT_SUPPORTED", "ECDSA needs Node's own OpenSSL on this machine");
    held.signer ??= ecDigest.loadPrivate(pkcs8Of(key));
    return held.signer.sign(input);
  }
  throw refuse("KEY_USAGE", `a key of the type ${type} does not sign with ${scheme}`);
}

/** @throws KEY_USAGE, BAD_REQUEST for another length than the modulus has, DECRYPT_FAILED. */
export function decrypt({ key }: HeldPrivate, { padding, input }: Pick<RequestOf<"decrypt">, "padding" | "input">) {
  if (key.asymmetricKeyType !== "rsa") throw refuse("KEY_USAGE", "only an RSA key decrypts");
  const size = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  if (input.length !== size)
    throw refuse("BAD_REQUEST", `a ciphertext of ${input.length} bytes, the modulus has ${size}`);
  const options =
    padding.kind === "oaep"
      ? { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: padding.hash, oaepLabel: padding.label }
      : { padding: padding.kind === "pkcs1" ? constants.RSA_PKCS1_PADDING : constants.RSA_NO_PADDING };
  return attempt("DECRYPT_FAILED", "the ciphertext cannot be decrypted", () =>
    privateDecrypt({ key, ...options }, input),
  );
}

/** The raw shared secret. @throws KEY_USAGE, BAD_REQUEST for a peer that does not fit. */
export function agree({ key }: HeldPrivate, peer: Uint8Array): Uint8Array {
  if (key.asymmetricKeyType === "rsa" || key.asymmetricKeyType?.startsWith("ed"))
    throw refuse("KEY_USAGE", `a key of the type ${key.asymmetricKeyType} agrees on nothing`);
  return attempt("BAD_REQUEST", "the peer's public key does not fit", () => {
    const publicKey = createPublicKey({ key: Buffer.from(peer), format: "der", type: "spki" });
    return diffieHellman({ privateKey: key, publicKey });
  });
}

/** Private values by their names in a JWK; `value` on a curve. */
export function partsOf(key: KeyObject) {
  const jwk = key.export({ format: "jwk" });
  const names = key.asymmetricKeyType === "rsa" ? (["d", "p", "q", "dp", "dq", "qi"] as const) : (["d"] as const);
  return names.map((name) => ({
    part: key.asymmetricKeyType === "rsa" ? name : ("value" as const),
    bytes: new Uint8Array(Buffer.from(jwk[name] ?? "", "base64url")),
  }));
}
