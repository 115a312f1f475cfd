/** Key wrapping: AES-KW (RFC 3394), AES-KWP (RFC 5649), RSA-OAEP with AES-KWP (PKCS#11 CKM_RSA_AES_KEY_WRAP). */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  privateDecrypt,
  publicEncrypt,
  type KeyObject,
} from "node:crypto";
import { concat } from "@casemate/foundation/bytes";
import type { Random } from "@casemate/foundation/effects";
import type { WrapScheme } from "@casemate/protocols/hsm";
import type { LoadedKey } from "./loaded-key.ts";
import { refuse } from "./refuse.ts";

const KW_IV = new Uint8Array(8).fill(0xa6);
const KWP_IV = Uint8Array.of(0xa6, 0x59, 0x59, 0xa6);
/** RFC 3394 §2: two 64-bit blocks at least, plus the integrity block. */
const KW_LEAST = 24;
const KWP_LEAST = 16;

const failed = (): Error =>
  refuse(
    "DECRYPT_FAILED",
    "the wrapped key does not belong to this wrapping key or was changed",
    "Name the key and the scheme under which it was wrapped.",
  );

const aesName = (key: KeyObject, mode: "wrap" | "wrap-pad"): string =>
  `id-aes${(key.symmetricKeySize as number) * 8}-${mode}`;

function kwpWrap(key: KeyObject, material: Uint8Array): Uint8Array {
  const cipher = createCipheriv(aesName(key, "wrap-pad"), key, KWP_IV);
  return concat(cipher.update(material), cipher.final());
}

function kwpUnwrap(key: KeyObject, wrapped: Uint8Array): Uint8Array {
  if (wrapped.length < KWP_LEAST || wrapped.length % 8 !== 0) throw failed();
  const decipher = createDecipheriv(aesName(key, "wrap-pad"), key, KWP_IV);
  return concat(decipher.update(wrapped), decipher.final());
}

interface SchemeRow {
  wrap(key: LoadedKey, material: Uint8Array, random: Random): Uint8Array;
  unwrap(key: LoadedKey, wrapped: Uint8Array): Uint8Array;
}

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" } as const;

const SCHEMES: Readonly<Record<WrapScheme, SchemeRow>> = {
  "aes-kw": {
    wrap(key, material) {
      if (material.length < 16 || material.length % 8 !== 0) {
        throw refuse(
          "NOT_SUPPORTED",
          `aes-kw wraps whole blocks of 8 bytes, at least 16 bytes; this key has ${material.length}`,
          "Use aes-kwp.",
        );
      }
      const cipher = createCipheriv(aesName(key.secret, "wrap"), key.secret, KW_IV);
      return concat(cipher.update(material), cipher.final());
    },
    unwrap(key, wrapped) {
      if (wrapped.length < KW_LEAST || wrapped.length % 8 !== 0) throw failed();
      const decipher = createDecipheriv(aesName(key.secret, "wrap"), key.secret, KW_IV);
      return concat(decipher.update(wrapped), decipher.final());
    },
  },
  "aes-kwp": {
    wrap: (key, material) => kwpWrap(key.secret, material),
    unwrap: (key, wrapped) => kwpUnwrap(key.secret, wrapped),
  },
  "rsa-aes-kwp": {
    wrap(key, material, random) {
      const raw = random.bytes(32);
      const wrapped = kwpWrap(createSecretKey(raw), material);
      const envelope = publicEncrypt({ key: key.public, ...OAEP }, raw);
      raw.fill(0);
      return concat(envelope, wrapped);
    },
    unwrap(key, wrapped) {
      const size = key.row.size / 8;
      if (wrapped.length < size + KWP_LEAST) throw failed();
      const raw = privateDecrypt({ key: key.private, ...OAEP }, wrapped.subarray(0, size));
      try {
        if (![16, 24, 32].includes(raw.length)) throw failed();
        return kwpUnwrap(createSecretKey(raw), wrapped.subarray(size));
      } finally {
        raw.fill(0);
      }
    },
  },
};

function rowFor(key: LoadedKey, scheme: WrapScheme): SchemeRow {
  key.require("wrap");
  if (key.row.wrap.includes(scheme)) return SCHEMES[scheme];
  throw refuse(
    "NOT_SUPPORTED",
    `${key.algorithm} does not wrap with ${scheme}`,
    key.row.wrap.length > 0 ? `Its schemes are ${key.row.wrap.join(", ")}.` : "Use an AES or RSA key.",
  );
}

/** @throws KEY_USAGE, NOT_SUPPORTED */
export function wrapMaterial(key: LoadedKey, scheme: WrapScheme, material: Uint8Array, random: Random): Uint8Array {
  return rowFor(key, scheme).wrap(key, material, random);
}

/** @throws KEY_USAGE, NOT_SUPPORTED, DECRYPT_FAILED; which part of the wrapping was wrong is never told apart. */
export function unwrapMaterial(key: LoadedKey, scheme: WrapScheme, wrapped: Uint8Array): Uint8Array {
  const row = rowFor(key, scheme);
  try {
    return row.unwrap(key, wrapped);
  } catch {
    throw failed();
  }
}
