/** Key material of every algorithm: how it is made, recognised, loaded, and what of it is public. PKCS#8 DER, or raw bytes for secret keys. */
import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPair,
  sign,
  verify,
  type AsymmetricKeyType,
  type KeyObject,
} from "node:crypto";
import type { Random } from "@casemate/foundation/effects";
import { ALGORITHMS, type AlgorithmRow, type KeyAlgorithm } from "@casemate/protocols/hsm";
import { equalBytes } from "@casemate/foundation/bytes";
import { bitsOf, isOneSequence, publicKeyIn } from "./foreign-der.ts";
import { checkRsaNumbers } from "./imported-rsa.ts";
import { refuse } from "./refuse.ts";

export interface CurveRow {
  /** OpenSSL's name. */
  readonly name: string;
  readonly bytes: number;
  readonly order: bigint;
}

/** SP 800-186 §3.2.1 and SEC 2 §2.4.1. */
export const CURVES: ReadonlyMap<KeyAlgorithm, CurveRow> = new Map<KeyAlgorithm, CurveRow>([
  [
    "ec-p256",
    {
      name: "prime256v1",
      bytes: 32,
      order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    },
  ],
  [
    "ec-p384",
    {
      name: "secp384r1",
      bytes: 48,
      order: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    },
  ],
  [
    "ec-p521",
    {
      name: "secp521r1",
      bytes: 66,
      order: BigInt(`0x1${"f".repeat(65)}a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409`),
    },
  ],
  [
    "ec-secp256k1",
    {
      name: "secp256k1",
      bytes: 32,
      order: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
    },
  ],
]);

const RAW_BYTES: ReadonlyMap<KeyAlgorithm, number> = new Map<KeyAlgorithm, number>([
  ["ed25519", 32],
  ["ed448", 57],
  ["x25519", 32],
  ["x448", 56],
]);

/** HMAC keys from elsewhere: at least 112 bits (SP 800-131A §10), at most what fits a reference with ease. */
const IMPORTED_HMAC = { least: 14, most: 512 } as const;

export const isSecret = (row: AlgorithmRow): boolean => row.family === "aes" || row.family === "hmac";

/** A scalar in 1..order-1 by rejection (FIPS 186-5 §A.2.2). */
function ecScalar(curve: CurveRow, random: Random): Uint8Array {
  for (;;) {
    const candidate = random.bytes(curve.bytes);
    if (curve.bytes === 66) candidate[0] = (candidate[0] as number) & 1;
    const value = BigInt(`0x${candidate.toHex()}`);
    if (value > 0n && value < curve.order) return candidate;
  }
}

function rawPrivate(key: Uint8Array, type: string, format: "raw-private" | "raw-seed", namedCurve?: string): KeyObject {
  const made = createPrivateKey({
    key,
    format,
    asymmetricKeyType: type as AsymmetricKeyType,
    ...(namedCurve === undefined ? {} : { namedCurve }),
  });
  key.fill(0);
  return made;
}

function pair(type: string, options: object): Promise<KeyObject> {
  return new Promise((resolve, reject) => {
    generateKeyPair(type as "rsa", options as { modulusLength: number }, (error, _public, privateKey) =>
      error === null ? resolve(privateKey) : reject(error),
    );
  });
}

/** RSA primes and SLH-DSA trees take long and come from OpenSSL on the thread pool; everything else is made from `random` directly. */
function freshPrivate(algorithm: KeyAlgorithm, row: AlgorithmRow, random: Random): KeyObject | Promise<KeyObject> {
  switch (row.family) {
    case "rsa":
      return pair("rsa", { modulusLength: row.size, publicExponent: 0x10001 });
    case "slh-dsa":
      return pair(algorithm, {});
    case "ec": {
      const curve = CURVES.get(algorithm) as CurveRow;
      return rawPrivate(ecScalar(curve, random), "ec", "raw-private", curve.name);
    }
    case "ml-dsa":
      return rawPrivate(random.bytes(32), algorithm, "raw-seed");
    case "ml-kem":
      return rawPrivate(random.bytes(64), algorithm, "raw-seed");
    default:
      return rawPrivate(random.bytes(RAW_BYTES.get(algorithm) as number), algorithm, "raw-private");
  }
}

const PROBE = new Uint8Array(32);

const pkcs8 = (key: KeyObject): Uint8Array => key.export({ format: "der", type: "pkcs8" });

/** Fresh material: PKCS#8 DER, or raw bytes for AES and HMAC. */
export async function makeMaterial(algorithm: KeyAlgorithm, random: Random): Promise<Uint8Array> {
  const row = ALGORITHMS[algorithm];
  return isSecret(row) ? random.bytes(row.size / 8) : pkcs8(await freshPrivate(algorithm, row, random));
}

function fits(algorithm: KeyAlgorithm, row: AlgorithmRow, key: KeyObject): boolean {
  const details = key.asymmetricKeyDetails;
  if (row.family === "rsa") {
    return (
      key.asymmetricKeyType === "rsa" && details?.modulusLength === row.size && (details.publicExponent ?? 0n) >= 65537n
    );
  }
  if (row.family === "ec") return key.asymmetricKeyType === "ec" && details?.namedCurve === CURVES.get(algorithm)?.name;
  return key.asymmetricKeyType === algorithm;
}

/** Checks foreign material against what it is said to be, and brings it into our form. @throws BAD_REQUEST */
export function adoptMaterial(algorithm: KeyAlgorithm, material: Uint8Array): Uint8Array {
  const row = ALGORITHMS[algorithm];
  if (isSecret(row)) {
    const fit =
      row.family === "aes"
        ? material.length === row.size / 8
        : material.length >= IMPORTED_HMAC.least && material.length <= IMPORTED_HMAC.most;
    if (!fit) throw refuse("BAD_REQUEST", `${material.length} bytes inside the wrapping are no ${algorithm} key`);
    return material;
  }
  let key: KeyObject;
  try {
    if (!isOneSequence(material)) throw new TypeError("something follows the key");
    key = createPrivateKey({ key: Buffer.from(material), format: "der", type: "pkcs8" });
  } catch {
    throw refuse("BAD_REQUEST", "what is inside the wrapping is not a PKCS#8 private key");
  }
  if (!fits(algorithm, row, key)) {
    throw refuse("BAD_REQUEST", `the key inside the wrapping is ${key.asymmetricKeyType}, not ${algorithm}`);
  }
  checkHalves(row, material, key);
  return ownForm(algorithm, row, key);
}

/** OpenSSL does not look at the public half beside the key. That of an EC key may be written in two ways, and is left behind unread. @throws BAD_REQUEST */
function checkHalves(row: AlgorithmRow, material: Uint8Array, key: KeyObject): void {
  const attached = publicKeyIn(material);
  if (attached === undefined || row.family === "ec" || equalBytes(attached, bitsOf(publicDer(key)))) return;
  throw notOnePair();
}

const notOnePair = (): Error =>
  refuse("BAD_REQUEST", "the two halves of the key inside the wrapping do not belong together");

/** As a key that was made here: what came along (a public half, the parameters of a curve) is left behind. @throws BAD_REQUEST */
function ownForm(algorithm: KeyAlgorithm, row: AlgorithmRow, key: KeyObject): Uint8Array {
  if (row.family === "rsa") {
    const der = pkcs8(key);
    checkRsaNumbers(der);
    return der;
  }
  const type = row.family === "ec" ? "ec" : algorithm;
  if (row.family !== "ec" && !RAW_BYTES.has(algorithm)) return pkcs8(key);
  const raw = key.export({ format: "raw-private" });
  const own = rawPrivate(raw, type, "raw-private", CURVES.get(algorithm)?.name);
  // OpenSSL believes the public half that comes with an EC key.
  if (row.family === "ec" && !verify("sha256", PROBE, createPublicKey(key), sign("sha256", PROBE, own)))
    throw notOnePair();
  return pkcs8(own);
}

/** Bytes of a private key that OpenSSL keeps in its secure heap, from measurement; 0 for the kinds it does not cover. */
export function secureBytes(row: AlgorithmRow): number {
  switch (row.family) {
    case "rsa":
      return (row.size / 16) * 7;
    case "ec":
    case "edwards":
    case "montgomery":
      return 128;
    default:
      return 0;
  }
}

export function loadPrivate(material: Uint8Array): KeyObject {
  return createPrivateKey({
    key: Buffer.from(material.buffer, material.byteOffset, material.length),
    format: "der",
    type: "pkcs8",
  });
}

export function loadSecret(material: Uint8Array): KeyObject {
  return createSecretKey(material);
}

/** SubjectPublicKeyInfo DER. */
export function publicDer(key: KeyObject): Uint8Array {
  return createPublicKey(key).export({ format: "der", type: "spki" });
}
