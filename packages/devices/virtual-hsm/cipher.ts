/** Encryption: AES-GCM (SP 800-38D), CBC, CTR and ECB (SP 800-38A), RSAES-OAEP and RSAES-PKCS1-v1_5 (RFC 8017 §7). One row per scheme. */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  privateDecrypt,
  publicEncrypt,
  type CipherGCMTypes,
  type KeyObject,
} from "node:crypto";
import { concat } from "@casemate/foundation/bytes";
import type { Random } from "@casemate/foundation/effects";
import { LIMITS, type CipherScheme, type DecryptRequest, type EncryptRequest } from "@casemate/protocols/hsm";
import type { LoadedKey } from "./loaded-key.ts";
import { NONCE_BYTES, type Nonces } from "./nonces.ts";
import { refuse } from "./refuse.ts";
import type { HashName } from "./rsa-padding.ts";
import type { Scheduler } from "./scheduler.ts";
import { stateId } from "./sealed-state.ts";

const TAG_BYTES = 16;
const BLOCK_BYTES = 16;

interface Item {
  readonly data: Uint8Array;
  readonly context: Uint8Array;
  readonly iv: Uint8Array;
}

interface SchemeRow {
  /** Whether the device counts and makes nonces for it. */
  readonly nonces: boolean;
  encryptor(key: LoadedKey, random: Random): (item: Item) => Uint8Array;
  decryptor(key: LoadedKey): (data: Uint8Array, context: Uint8Array) => Uint8Array;
}

/** Never told apart: which part was wrong would be an oracle. */
const failed = (): Error =>
  refuse(
    "DECRYPT_FAILED",
    "the ciphertext does not belong to this key or was changed",
    "Check key, version and context.",
  );

function undone<T>(open: () => T): T {
  try {
    return open();
  } catch {
    throw failed();
  }
}

const noContext = (scheme: CipherScheme, context: Uint8Array): void => {
  if (context.length === 0) return;
  throw refuse("BAD_REQUEST", `${scheme} binds no context`, "Use aes-gcm, or leave the context out.");
};

export function gcmSeal(secret: KeyObject, nonce: Uint8Array, data: Uint8Array, context: Uint8Array): Uint8Array {
  const name = `aes-${(secret.symmetricKeySize as number) * 8}-gcm` as CipherGCMTypes;
  const cipher = createCipheriv(name, secret, nonce);
  if (context.length > 0) cipher.setAAD(context);
  // From Buffer's pool, which is much cheaper than memory of its own; every byte is written below.
  const out = Buffer.allocUnsafe(NONCE_BYTES + data.length + TAG_BYTES);
  out.set(nonce);
  out.set(cipher.update(data), NONCE_BYTES);
  cipher.final();
  out.set(cipher.getAuthTag(), NONCE_BYTES + data.length);
  return out;
}

const gcm: SchemeRow = {
  nonces: true,
  encryptor: (key) => {
    const secret = key.secret;
    return ({ data, context, iv }) => gcmSeal(secret, iv, data, context);
  },
  decryptor(key) {
    const name = `aes-${key.row.size}-gcm` as CipherGCMTypes;
    return (data, context) =>
      undone(() => {
        if (data.length < NONCE_BYTES + TAG_BYTES) throw failed();
        const end = data.length - TAG_BYTES;
        const decipher = createDecipheriv(name, key.secret, data.subarray(0, NONCE_BYTES), {
          authTagLength: TAG_BYTES,
        });
        if (context.length > 0) decipher.setAAD(context);
        decipher.setAuthTag(data.subarray(end));
        const plain = decipher.update(data.subarray(NONCE_BYTES, end));
        decipher.final();
        return plain;
      });
  },
};

/** Modes with a 16-byte start value in front of the ciphertext. */
const chained = (scheme: "aes-cbc" | "aes-ctr"): SchemeRow => ({
  nonces: false,
  encryptor: (key, random) => (item) => {
    noContext(scheme, item.context);
    if (item.iv.length !== 0 && item.iv.length !== BLOCK_BYTES)
      throw refuse("BAD_REQUEST", `an iv has ${BLOCK_BYTES} bytes, got ${item.iv.length}`);
    const iv = item.iv.length === 0 ? random.bytes(BLOCK_BYTES) : item.iv;
    const cipher = createCipheriv(`aes-${key.row.size}-${scheme.slice(4)}`, key.secret, iv);
    return concat(iv, cipher.update(item.data), cipher.final());
  },
  decryptor: (key) => (data, context) => {
    noContext(scheme, context);
    return undone(() => {
      const decipher = createDecipheriv(
        `aes-${key.row.size}-${scheme.slice(4)}`,
        key.secret,
        data.subarray(0, BLOCK_BYTES),
      );
      return concat(decipher.update(data.subarray(BLOCK_BYTES)), decipher.final());
    });
  },
});

const ecb: SchemeRow = {
  nonces: false,
  encryptor: (key) => (item) => {
    noContext("aes-ecb", item.context);
    if (item.iv.length > 0) throw refuse("BAD_REQUEST", "aes-ecb takes no iv");
    if (item.data.length % BLOCK_BYTES !== 0)
      throw refuse("BAD_REQUEST", `aes-ecb takes whole blocks of ${BLOCK_BYTES} bytes, got ${item.data.length} bytes`);
    const cipher = createCipheriv(`aes-${key.row.size}-ecb`, key.secret, null).setAutoPadding(false);
    return concat(cipher.update(item.data), cipher.final());
  },
  decryptor: (key) => (data, context) => {
    noContext("aes-ecb", context);
    return undone(() => {
      const decipher = createDecipheriv(`aes-${key.row.size}-ecb`, key.secret, null).setAutoPadding(false);
      return concat(decipher.update(data), decipher.final());
    });
  },
};

/** RSA encrypts one short value; `overhead` is what the padding takes of the modulus. */
function rsaEncrypt(key: LoadedKey, item: Item, overhead: number, options: object): Uint8Array {
  if (item.iv.length > 0) throw refuse("BAD_REQUEST", "RSA encryption takes no iv");
  const most = key.row.size / 8 - overhead;
  if (item.data.length > most)
    throw refuse(
      "TOO_LARGE",
      `${item.data.length} bytes, ${key.algorithm} takes at most ${most} with this padding`,
      "Encrypt a data key with it, and the data with the data key.",
    );
  return publicEncrypt({ key: key.public, ...options }, item.data);
}

function rsaDecrypt(key: LoadedKey, data: Uint8Array, options: object): Uint8Array {
  if (data.length !== key.row.size / 8) throw failed(); // RFC 8017 §7.1.2 step 1b
  return undone(() => privateDecrypt({ key: key.private, ...options }, data));
}

const oaep = (oaepHash: HashName | "sha1", size: number): SchemeRow => {
  const options = (label: Uint8Array) => ({
    padding: constants.RSA_PKCS1_OAEP_PADDING,
    oaepHash,
    ...(label.length > 0 ? { oaepLabel: label } : {}),
  });
  return {
    nonces: false,
    encryptor: (key) => (item) => rsaEncrypt(key, item, 2 * size + 2, options(item.context)),
    decryptor: (key) => (data, context) => rsaDecrypt(key, data, options(context)),
  };
};

const rsaPkcs1: SchemeRow = {
  nonces: false,
  encryptor: (key) => (item) => {
    noContext("rsa-pkcs1", item.context);
    return rsaEncrypt(key, item, 11, { padding: constants.RSA_PKCS1_PADDING });
  },
  decryptor: (key) => (data, context) => {
    noContext("rsa-pkcs1", context);
    return rsaDecrypt(key, data, { padding: constants.RSA_PKCS1_PADDING });
  },
};

const SCHEMES: Readonly<Record<CipherScheme, SchemeRow>> = {
  "aes-gcm": gcm,
  "aes-cbc": chained("aes-cbc"),
  "aes-ctr": chained("aes-ctr"),
  "aes-ecb": ecb,
  "rsa-oaep-sha256": oaep("sha256", 32),
  "rsa-oaep-sha384": oaep("sha384", 48),
  "rsa-oaep-sha512": oaep("sha512", 64),
  "rsa-oaep-sha1": oaep("sha1", 20),
  "rsa-pkcs1": rsaPkcs1,
};

function rowFor(key: LoadedKey, scheme: CipherScheme): SchemeRow {
  key.require("encrypt");
  if (key.row.cipher.includes(scheme)) return SCHEMES[scheme];
  const lawful = key.row.cipher.length > 0 ? `Its schemes are ${key.row.cipher.join(", ")}.` : "It does not encrypt.";
  throw refuse("NOT_SUPPORTED", `${key.algorithm} does not encrypt with ${scheme}`, lawful);
}

type Answers<T> = (T | Error)[] | Promise<(T | Error)[]>;

/** Items with an iv of the caller's are refused before nonces are drawn for their neighbours. */
const callersNonce = (): Error =>
  refuse("NOT_SUPPORTED", "the device makes the nonces of AES-GCM itself, so that none repeats", "Leave the iv out.");

export function encryptMany(
  key: LoadedKey,
  request: EncryptRequest,
  tools: { readonly scheduler: Scheduler; readonly random: Random; readonly nonces: Nonces },
): Answers<Uint8Array> {
  const row = rowFor(key, request.scheme);
  const encrypt = row.encryptor(key, tools.random);
  if (!row.nonces) return tools.scheduler.each(request.items, encrypt);
  const seal = (nonces: readonly Uint8Array[]): Answers<Uint8Array> => {
    let next = 0;
    return tools.scheduler.each(request.items, ({ data, context, iv }) => {
      if (iv.length > 0) throw callersNonce();
      return encrypt({ data, context, iv: nonces[next++] as Uint8Array });
    });
  };
  const nonces = tools.nonces.take(stateId(key.id), request.items.filter((item) => item.iv.length === 0).length);
  return nonces instanceof Promise ? nonces.then(seal) : seal(nonces);
}

export function decryptMany(key: LoadedKey, request: DecryptRequest, scheduler: Scheduler): Answers<Uint8Array> {
  const decrypt = rowFor(key, request.scheme).decryptor(key);
  return scheduler.each(request.items, ({ data, context }) => {
    if (data.length > LIMITS.data + NONCE_BYTES + TAG_BYTES + BLOCK_BYTES)
      throw refuse("TOO_LARGE", `${data.length} bytes of ciphertext, at most ${LIMITS.data} of plaintext allowed`);
    return decrypt(data, context);
  });
}
