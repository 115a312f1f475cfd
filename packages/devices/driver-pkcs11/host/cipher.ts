// Implements: C_Encrypt and C_Decrypt for AES-GCM (SP 800-38D), CBC and CTR (SP 800-38A) and RSA-OAEP (RFC 8017), with nonces made here.
import { randomBytes } from "node:crypto";
import type { CipherScheme } from "@casemate/devices/contract";
import { concat } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { CIPHER_ROWS } from "../algorithms.ts";
import type { Oaep } from "../plan.ts";
import { NOT_OF_THE_CIPHERTEXT, hasRv } from "../status.ts";
import type { Handlers } from "../wire.ts";
import type { Mechanism } from "./addon.ts";
import { buffer, eachItem, mustAllow, withKey } from "./batch.ts";
import type { Key, KeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";
import { HASHES } from "./sign.ts";

const NONCE = 12;
const TAG = 16;
const BLOCK = 16;
/** Room for a tag, or for a block of padding. */
const GROWTH = 64;
const DATA_SPECIFIED = 1;

export interface Plain {
  readonly data: Uint8Array;
  readonly context: Uint8Array;
  readonly iv: Uint8Array;
}
interface Sealed {
  readonly data: Uint8Array;
  readonly context: Uint8Array;
}

/** One scheme: how many bytes stand before the ciphertext, which ciphertexts can be, and the mechanism for both directions. */
interface Way {
  readonly ivBytes: number;
  /** @throws for a plaintext or iv that cannot be. */
  checkPlain(item: Plain): void;
  possible(length: number): boolean;
  /** Bytes of the ciphertext of that many bytes. */
  sealed(length: number): number;
  /** Whether a ciphertext of that many bytes may hold so many. */
  opens(length: number, plain: number): boolean;
  /** The plaintext's length hangs on its padding: where a module does not check that, the length would tell what nobody may learn. */
  readonly padded?: true;
  mechanism(iv: Buffer, context: Uint8Array): Mechanism;
}

const failed = (): CasemateError =>
  new CasemateError("DECRYPT_FAILED", "the ciphertext does not belong to this key or was changed", {
    hint: "Where the token fails with every ciphertext of this key, its maker's log may say why.",
  });

function checkFreeIv({ iv, context }: Plain): void {
  if (context.length > 0) throw new CasemateError("BAD_REQUEST", "this scheme binds no context");
  if (iv.length !== 0 && iv.length !== BLOCK)
    throw new CasemateError("BAD_REQUEST", `an iv of ${BLOCK} bytes, not ${iv.length}`);
}

function aesWay(lane: Lane, scheme: CipherScheme, mechanism: number): Way {
  if (scheme === "aes-gcm")
    return {
      ivBytes: NONCE,
      checkPlain({ iv }) {
        if (iv.length > 0) throw new CasemateError("NOT_SUPPORTED", "the nonce of AES-GCM is never the caller's");
      },
      possible: (length) => length >= TAG,
      sealed: (length) => length + TAG,
      opens: (length, plain) => plain === length - TAG,
      mechanism: (iv, context) => ({
        mechanism,
        parameter: {
          type: lane.params.gcm,
          iv,
          ivBits: NONCE * 8,
          tagBits: TAG * 8,
          ...(context.length === 0 ? {} : { aad: buffer(context) }),
        },
      }),
    };
  if (scheme === "aes-ctr")
    return {
      ivBytes: BLOCK,
      checkPlain: checkFreeIv,
      possible: () => true,
      sealed: (length) => length,
      opens: (length, plain) => plain === length,
      mechanism: (iv) => ({ mechanism, parameter: counterParameter(iv) }),
    };
  if (scheme === "aes-cbc")
    return {
      ivBytes: BLOCK,
      checkPlain: checkFreeIv,
      possible: (length) => length > 0 && length % BLOCK === 0,
      sealed: (length) => length + BLOCK - (length % BLOCK),
      opens: (length, plain) => plain < length && plain >= length - BLOCK,
      padded: true,
      mechanism: (iv) => ({ mechanism, parameter: iv }),
    };
  return {
    ivBytes: 0,
    checkPlain({ data, iv, context }) {
      if (iv.length > 0 || context.length > 0)
        throw new CasemateError("BAD_REQUEST", "aes-ecb takes neither iv nor context");
      if (data.length % BLOCK !== 0)
        throw new CasemateError("BAD_REQUEST", `aes-ecb takes whole blocks of ${BLOCK} bytes, not ${data.length}`);
    },
    possible: (length) => length % BLOCK === 0,
    sealed: (length) => length,
    opens: (length, plain) => plain === length,
    mechanism: () => ({ mechanism }),
  };
}

/** CK_AES_CTR_PARAMS: the counter's bits as CK_ULONG, then the first counter block. */
function counterParameter(start: Buffer): Buffer {
  const parameter = Buffer.alloc(8 + BLOCK);
  parameter.writeBigUInt64LE(128n);
  start.copy(parameter, 8);
  return parameter;
}

function oaepWay(lane: Lane, mechanism: number, { hash, labels }: Oaep, modulusBytes: number): Way {
  const most = modulusBytes - 2 * HASHES[hash].bytes - 2;
  return {
    ivBytes: 0,
    checkPlain({ data, iv }) {
      if (iv.length > 0) throw new CasemateError("BAD_REQUEST", "RSA-OAEP takes no iv");
      if (data.length <= most) return;
      throw new CasemateError(
        "TOO_LARGE",
        `at most ${most} bytes fit into RSA-OAEP with this key, not ${data.length}`,
        {
          details: { size: data.length, limit: most },
        },
      );
    },
    possible: (length) => length === modulusBytes,
    sealed: () => modulusBytes,
    opens: (_length, plain) => plain <= most,
    padded: true,
    mechanism(_iv, context) {
      if (context.length > 0 && !labels)
        throw new CasemateError("NOT_SUPPORTED", "RSA-OAEP of this token takes no label", {
          hint: "Leave the context out, or use a key in a device that binds one in.",
        });
      return { mechanism, parameter: oaepParameter(lane, hash, context) };
    },
  };
}

export function oaepParameter(lane: Lane, hash: keyof typeof HASHES, context: Uint8Array): object {
  return {
    type: lane.params.oaep,
    hashAlg: HASHES[hash].mechanism,
    mgf: HASHES[hash].mgf,
    source: DATA_SPECIFIED,
    ...(context.length === 0 ? {} : { sourceData: buffer(context) }),
  };
}

function wayOf(lane: Lane, keys: KeyStore, key: Key, scheme: CipherScheme): Way {
  const found = lane.plan.cipher(scheme);
  if (found === undefined || CIPHER_ROWS.get(scheme)?.keyType !== key.keyType)
    throw new CasemateError("NOT_SUPPORTED", `${key.algorithm} keys of this token do not encrypt with ${scheme}`);
  mustAllow(key.may.decrypt, "encrypt or decrypt");
  if (found.oaep === undefined) return aesWay(lane, scheme, found.mechanism);
  return oaepWay(lane, found.mechanism, found.oaep, keys.publicHalf(key).modulus?.length ?? 0);
}

/** @throws KEY_USAGE, NOT_SUPPORTED before the first item. */
export function encryptor(lane: Lane, keys: KeyStore, key: Key, scheme: CipherScheme): (item: Plain) => Uint8Array {
  const { cryptoki, session, plan } = lane;
  const way = wayOf(lane, keys, key, scheme);
  const handle = key.address.objectClass === "secret" ? key.handle : keys.publicHalf(key).handle;
  const moduleMakesNonce = scheme === "aes-gcm" && plan.quirks.moduleMakesNonces === true;
  return (item) => {
    way.checkPlain(item);
    const iv =
      item.iv.length > 0 ? Buffer.from(item.iv) : moduleMakesNonce ? Buffer.alloc(NONCE) : randomBytes(way.ivBytes);
    const mechanism = way.mechanism(iv, item.context);
    const out = Buffer.alloc(item.data.length + GROWTH + (way.ivBytes === 0 ? 1024 : 0));
    const body = session.run((open) => {
      cryptoki.C_EncryptInit(open, mechanism, handle);
      return cryptoki.C_Encrypt(open, buffer(item.data), out);
    });
    if (moduleMakesNonce && iv.every((byte) => byte === 0))
      throw new CasemateError("DEVICE_FAILED", "the token made no nonce of its own");
    const sealed = way.sealed(item.data.length);
    if (body.length !== sealed)
      throw new CasemateError("DEVICE_FAILED", `the token gave ${body.length} bytes as ciphertext, not ${sealed}`);
    return concat(iv, body);
  };
}

export function cipherHandlers(lane: Lane, keys: KeyStore): Pick<Handlers, "encrypt" | "decrypt"> {
  const { cryptoki, session } = lane;

  const decryptOne = (key: Key, way: Way, { data, context }: Sealed): Uint8Array => {
    if (data.length < way.ivBytes || !way.possible(data.length - way.ivBytes)) throw failed();
    const mechanism = way.mechanism(Buffer.from(data.subarray(0, way.ivBytes)), context);
    const body = buffer(data.subarray(way.ivBytes));
    const out = Buffer.alloc(body.length + GROWTH);
    try {
      const plain = session.run((open) => {
        cryptoki.C_DecryptInit(open, mechanism, key.handle);
        return Uint8Array.from(cryptoki.C_Decrypt(open, body, out));
      });
      if (way.opens(body.length, plain.length)) return plain;
      plain.fill(0);
      if (way.padded === true) throw failed();
      throw new CasemateError(
        "DEVICE_FAILED",
        `the token gave ${plain.length} bytes as the plaintext of a ciphertext of ${body.length}`,
      );
    } finally {
      out.fill(0);
    }
  };

  return {
    encrypt: ({ ref, scheme, items }) =>
      withKey(keys, ref, (key) => eachItem(items, encryptor(lane, keys, key, scheme))),
    decrypt: ({ ref, scheme, items }) =>
      withKey(keys, ref, (key) => {
        const way = wayOf(lane, keys, key, scheme);
        return eachItem(
          items,
          (item) => decryptOne(key, way, item),
          // Whatever the token calls it: a wrong tag, padding and length must look the same.
          (error) => (hasRv(error, ...NOT_OF_THE_CIPHERTEXT) ? undefined : failed()),
        );
      }),
  };
}
