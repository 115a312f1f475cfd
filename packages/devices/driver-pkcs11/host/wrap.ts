// Implements: C_WrapKey and C_UnwrapKey for AES-KW and AES-KWP (RFC 3394, RFC 5649), and CKM_RSA_AES_KEY_WRAP in two steps inside the token.
import type { KeyAlgorithm, WrapScheme } from "@casemate/devices/contract";
import { concat } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { CKA, CKK, CKR } from "@casemate/protocols/p11-rpc";
import { WRAP_ROWS } from "../algorithms.ts";
import { explained, hasRv } from "../status.ts";
import type { Handlers } from "../wire.ts";
import type { Handle, Mechanism } from "./addon.ts";
import { ulong } from "./attributes.ts";
import { buffer, mustAllow, withKey } from "./batch.ts";
import { oaepParameter } from "./cipher.ts";
import { describe, type Key, type KeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";
import { destroyObjects, generateSecret, keptIf, newObject, referenceOf, undoing, usageNames } from "./make.ts";
import { importPublic, spkiOf } from "./public-objects.ts";
import {
  checkSpec,
  isPair,
  privateTemplate,
  rowOf,
  secretTemplate,
  withTemplates,
  type NewObject,
} from "./templates.ts";

const MAX_WRAPPED = 16_384;
/** RFC 3394 wraps at least two blocks of eight bytes, and adds one. */
const SMALLEST = { "aes-kw": 24, "aes-kwp": 16 } as const;
/** SP 800-131A: an HMAC key below 112 bits is none. */
const SMALLEST_HMAC_BYTES = 14;

const TEMPORARY = { id: Buffer.alloc(0), label: Buffer.alloc(0), temporary: true } as const;

function mechanismOf(lane: Lane, wrapping: Key, scheme: WrapScheme): number {
  const mechanism = lane.plan.wrap(scheme);
  if (mechanism === undefined || WRAP_ROWS.get(scheme)?.keyType !== wrapping.keyType)
    throw new CasemateError("NOT_SUPPORTED", `${wrapping.algorithm} keys of this token do not wrap with ${scheme}`);
  return mechanism;
}

const oaep = (lane: Lane, mechanism: number): Mechanism => ({
  mechanism,
  parameter: oaepParameter(lane, "sha256", new Uint8Array()),
});

const damaged = (error: unknown): unknown =>
  hasRv(
    error,
    CKR.WRAPPED_KEY_INVALID,
    CKR.WRAPPED_KEY_LEN_RANGE,
    CKR.ENCRYPTED_DATA_INVALID,
    CKR.ENCRYPTED_DATA_LEN_RANGE,
    CKR.GENERAL_ERROR,
    CKR.FUNCTION_FAILED,
    CKR.DATA_INVALID,
  )
    ? explained(error, {
        code: "DECRYPT_FAILED",
        what: "the wrapped key does not belong to this key, is of another kind, or was changed",
      })
    : error;

const notThatKey = (what: string): CasemateError =>
  new CasemateError("BAD_REQUEST", `the wrapped material is no ${what} key`);

export function wrapHandlers(lane: Lane, keys: KeyStore): Pick<Handlers, "exportKey" | "importKey"> {
  const { cryptoki, session } = lane;

  /** @throws DEVICE_FAILED for what is no wrapping of that length: a backup that cannot be read is found out too late. */
  const wrapInto = (
    open: Handle,
    mechanism: Mechanism,
    wrapping: Handle,
    key: Handle,
    right: (length: number) => boolean,
  ): Uint8Array => {
    const wrapped = cryptoki.C_WrapKey(open, mechanism, wrapping, key, Buffer.alloc(MAX_WRAPPED));
    if (right(wrapped.length)) return Uint8Array.from(wrapped);
    throw new CasemateError(
      "DEVICE_FAILED",
      `the token gave ${wrapped.length} bytes, which are no wrapping of this key`,
    );
  };

  const unwrap = (
    open: Handle,
    mechanism: Mechanism,
    wrapping: Handle,
    wrapped: Uint8Array,
    object: NewObject,
  ): Handle => {
    const template = isPair(rowOf(object.algorithm)) ? privateTemplate(object) : secretTemplate(object, undefined);
    try {
      return withTemplates((trim) => cryptoki.C_UnwrapKey(open, mechanism, wrapping, buffer(wrapped), trim(template)));
    } catch (error) {
      if (hasRv(error, CKR.TEMPLATE_INCONSISTENT, CKR.ATTRIBUTE_VALUE_INVALID, CKR.KEY_SIZE_RANGE))
        throw notThatKey(object.algorithm);
      throw damaged(error);
    }
  };

  /** The AES key that stands between an RSA key and the key itself, for the time of `work`. */
  const between = <T>(open: Handle, handle: Handle, work: (handle: Handle) => T): T => {
    try {
      return work(handle);
    } finally {
      destroyObjects(lane, open, handle);
    }
  };
  const kwp = (): Mechanism => ({ mechanism: lane.plan.wrap("aes-kwp") ?? 0 });

  const exportByRsa = (open: Handle, mechanism: number, wrapping: Key, target: Key): Uint8Array => {
    const object: NewObject = { ...TEMPORARY, algorithm: "aes-256", usages: ["wrap"], exportable: true };
    const half = keys.publicHalf(wrapping);
    return between(open, generateSecret(lane, open, object), (aes) =>
      concat(
        wrapInto(open, oaep(lane, mechanism), half.handle, aes, (length) => length === half.modulus?.length),
        wrapInto(open, kwp(), aes, target.handle, rightFor("aes-kwp", target)),
      ),
    );
  };

  const modulusBytes = (wrapping: Key): number =>
    wrapping.modulusBytes === 0 ? (keys.publicHalf(wrapping).modulus?.length ?? 0) : wrapping.modulusBytes;

  const importByRsa = (
    open: Handle,
    mechanism: number,
    wrapping: Key,
    wrapped: Uint8Array,
    size: number,
    object: NewObject,
  ): Handle => {
    if (wrapped.length < size + SMALLEST["aes-kwp"])
      throw new CasemateError("DECRYPT_FAILED", `${wrapped.length} bytes are too short for a key wrapped so`);
    const aes: NewObject = { ...TEMPORARY, algorithm: "aes-256", usages: ["wrap"], exportable: false };
    return between(
      open,
      unwrap(open, oaep(lane, mechanism), wrapping.handle, wrapped.subarray(0, size), aes),
      (handle) => unwrap(open, kwp(), handle, wrapped.subarray(size), object),
    );
  };

  return {
    exportKey: ({ wrapping: ref, scheme, target: targetRef }) =>
      withKey(keys, ref, (wrapping) =>
        withKey(keys, targetRef, (target) => {
          const mechanism = mechanismOf(lane, wrapping, scheme);
          mustAllow(scheme === "rsa-aes-kwp" ? wrapping.may.unwrap : wrapping.may.wrap, "wrap");
          if (!target.extractable)
            throw new CasemateError("NOT_EXPORTABLE", "the key was not made exportable and never leaves the token");
          const bytes = session.run((open) =>
            scheme === "rsa-aes-kwp"
              ? exportByRsa(open, mechanism, wrapping, target)
              : wrapInto(open, { mechanism }, wrapping.handle, target.handle, rightFor(scheme, target)),
          );
          return { bytes };
        }),
      ),
    importKey: (request) =>
      withKey(keys, request.wrapping, (wrapping) => {
        const { scheme, wrapped, algorithm } = request;
        const mechanism = mechanismOf(lane, wrapping, scheme);
        mustAllow(wrapping.may.unwrap, "unwrap");
        checkSpec(lane, algorithm, usageNames(request.usages));
        if (scheme !== "rsa-aes-kwp" && (wrapped.length < SMALLEST[scheme] || wrapped.length % 8 !== 0))
          throw new CasemateError("DECRYPT_FAILED", `${wrapped.length} bytes are no ${scheme} wrapping`);
        const object = newObject(request);
        return session.run(
          (open) => {
            if (scheme !== "rsa-aes-kwp") {
              const handle = unwrap(open, { mechanism }, wrapping.handle, wrapped, object);
              return finish(lane, keys, open, handle, object, contentOf(scheme, wrapped.length));
            }
            const size = modulusBytes(wrapping);
            const handle = importByRsa(open, mechanism, wrapping, wrapped, size, object);
            return finish(lane, keys, open, handle, object, contentOf("aes-kwp", wrapped.length - size));
          },
          undoing(lane, object.id),
        );
      }),
  };
}

/** Checks that what came in is what it was said to be, and gives a pair its public half. The key goes again when it does not fit. */
function finish(
  lane: Lane,
  keys: KeyStore,
  open: Handle,
  handle: Handle,
  object: NewObject,
  content: Content,
): { ref: Uint8Array; publicKey: Uint8Array | undefined } {
  const { algorithm } = object;
  const made = [handle];
  return keptIf(lane, open, made, () => {
    if (!isSame(lane, open, handle, algorithm, content)) throw notThatKey(algorithm);
    if (!isPair(rowOf(algorithm))) return { ref: referenceOf(lane, keys, open, handle, object), publicKey: undefined };
    const publicKey = spkiOf(lane, open, handle, algorithm);
    if (publicKey === undefined)
      throw new CasemateError(
        "NOT_SUPPORTED",
        `this token does not show the public half of an imported ${algorithm} key`,
      );
    const { id: ID, label: LABEL } = object;
    made.push(importPublic(lane, open, algorithm, publicKey, { TOKEN: true, ID, LABEL }));
    return { ref: referenceOf(lane, keys, open, handle, object), publicKey };
  });
}

/** Bytes that may be in a wrapping: RFC 3394 adds 8 to whole blocks of 8, RFC 5649 fills the last block up before. */
interface Content {
  readonly least: number;
  readonly most: number;
}

function contentOf(scheme: "aes-kw" | "aes-kwp", wrapped: number): Content {
  const most = wrapped - 8;
  return { least: scheme === "aes-kw" ? most : most - 7, most };
}

/**
 * Whether a wrapping of the key may have that length. Of AES keys it is known, of HMAC keys it is at least that of the least
 * key; a private key is a PrivateKeyInfo (RFC 5958), longer than its modulus or its number.
 */
function rightFor(scheme: "aes-kw" | "aes-kwp", key: Key) {
  const inner = leastContent(key);
  return (length: number): boolean => {
    const { least, most } = contentOf(scheme, length);
    if (length < SMALLEST[scheme] || length % 8 !== 0 || most < inner) return false;
    return key.keyType !== CKK.AES || least <= inner;
  };
}

function leastContent({ keyType, algorithm, modulusBytes }: Key): number {
  const { size, curve } = rowOf(algorithm);
  if (keyType === CKK.AES) return size;
  if (keyType === CKK.GENERIC_SECRET) return SMALLEST_HMAC_BYTES;
  return curve?.size ?? modulusBytes;
}

function isSame(lane: Lane, open: Handle, handle: Handle, algorithm: KeyAlgorithm, content: Content): boolean {
  const { attributes, keyType, algorithm: found } = describe(lane, open, handle);
  // Some tokens do not say how long a secret is that was not made in them: then the wrapping does, but for its filling.
  const told = ulong(attributes.get(CKA.VALUE_LEN)) ?? 0;
  if (algorithm.startsWith("hmac")) return (told || content.least) >= SMALLEST_HMAC_BYTES;
  if (keyType !== CKK.AES || told > 0) return found === algorithm;
  return rowOf(algorithm).keyType === CKK.AES && rowOf(algorithm).size === content.most;
}
