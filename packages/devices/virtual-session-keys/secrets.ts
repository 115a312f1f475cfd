/** What secret keys do: MACs (FIPS 198-1, SP 800-38B), block ciphers (SP 800-38A, SP 800-38D), check values. */
import * as crypto from "node:crypto";
import type { KeyObject } from "node:crypto";
import { concat } from "@casemate/foundation/bytes";
import { constantTimeEqual } from "@casemate/foundation/secrets";
import type { CipherRequest, MacAlgorithm, RequestOf, SecretType } from "@casemate/protocols/session-keys";
import type { HeldSecret, KeyStore } from "./key-store.ts";
import { attempt, refuse } from "./refuse.ts";

/** New in Node 26 and not yet in its type declarations. */
interface WithMac {
  createMac(
    name: string,
    key: KeyObject,
    options: { readonly cipher: string },
  ): { update(data: Uint8Array): { final(): Uint8Array } };
}

const SIZES: Readonly<Record<SecretType, (length: number) => boolean>> = {
  generic: (length) => length <= 4096,
  aes: (length) => length === 0 || length === 16 || length === 24 || length === 32,
  des: (length) => length === 0 || length === 8 || length === 16 || length === 24,
};

/** @throws BAD_REQUEST. */
export function checkSize(type: SecretType, length: number): void {
  if (!SIZES[type](length)) throw refuse("BAD_REQUEST", `${length} bytes are no key of the type ${type}`);
}

/** The key as OpenSSL takes it: single DES is triple DES with one key thrice, two-key triple DES uses the first key again. */
function blockKey(key: HeldSecret): { readonly whole: Uint8Array; readonly prefix: string; readonly own: boolean } {
  const value = key.value.reveal();
  if (value.length === 0) throw refuse("KEY_USAGE", "an empty key encrypts nothing");
  if (key.type === "aes") return { whole: value, prefix: `aes-${value.length * 8}`, own: false };
  if (value.length === 24) return { whole: value, prefix: "des-ede3", own: false };
  const rest = value.length === 8 ? [value, value] : [value.subarray(0, 8)];
  return { whole: concat(value, ...rest), prefix: "des-ede3", own: true };
}

type Mode = CipherRequest["mode"];

/** Modes of whole blocks, in which a shorter end is refused. */
const WHOLE: ReadonlySet<Mode> = new Set<Mode>(["ecb", "cbc"]);

export interface BlockWork {
  readonly mode: Mode;
  readonly encrypt: boolean;
  readonly iv: Uint8Array;
  readonly input: Uint8Array;
}

/** One pass of a mode without padding. @throws BAD_REQUEST for an iv or an input that does not fit, KEY_USAGE. */
export function runBlocks(key: HeldSecret, { mode, encrypt, iv, input }: BlockWork): Uint8Array {
  const size = key.type === "aes" ? 16 : 8;
  if (key.type !== "aes" && !WHOLE.has(mode)) throw refuse("NOT_SUPPORTED", `DES keys have no mode ${mode} here`);
  if (iv.length !== (mode === "ecb" ? 0 : size)) throw refuse("BAD_REQUEST", `an iv of ${iv.length} bytes`);
  if (WHOLE.has(mode) && input.length % size !== 0)
    throw refuse("BAD_REQUEST", `${input.length} bytes are no whole blocks`);
  const { whole, prefix, own } = blockKey(key);
  try {
    const name = prefix === "des-ede3" && mode === "ecb" ? prefix : `${prefix}-${mode}`;
    const make = encrypt ? crypto.createCipheriv : crypto.createDecipheriv;
    return make(name, whole, mode === "ecb" ? null : iv)
      .setAutoPadding(false)
      .update(input);
  } finally {
    if (own) whole.fill(0);
  }
}

/** The first three bytes by which people compare keys (PKCS #11 v3.0 §4.10). */
export function checkValue(key: HeldSecret): Uint8Array {
  const value = key.value.reveal();
  if (value.length === 0) return value;
  if (key.type === "generic") return crypto.createHash("sha1").update(value).digest().subarray(0, 3);
  const input = new Uint8Array(key.type === "aes" ? 16 : 8);
  return runBlocks(key, { mode: "ecb", encrypt: true, iv: new Uint8Array(0), input }).subarray(0, 3);
}

export function cipher(store: KeyStore, request: CipherRequest): Uint8Array {
  return runBlocks(store.secret(request.id, request.cipher), request);
}

function mac(store: KeyStore, id: Uint8Array, algorithm: MacAlgorithm, input: Uint8Array): Uint8Array {
  if (algorithm !== "aes-cmac") {
    const value = store.secret(id, "generic").value.reveal();
    return crypto.createHmac(algorithm.slice("hmac-".length), value).update(input).digest();
  }
  const value = store.secret(id, "aes").value.reveal();
  if (value.length === 0) throw refuse("KEY_USAGE", "an empty key makes no MAC");
  const options = { cipher: `aes-${value.length * 8}-cbc` };
  return (crypto as unknown as WithMac).createMac("cmac", crypto.createSecretKey(value), options).update(input).final();
}

export function makeMac(store: KeyStore, request: RequestOf<"mac">): Uint8Array {
  return mac(store, request.id, request.algorithm, request.input);
}

/** A MAC may be cut short, as its mechanism says; an empty one proves nothing. */
export function checkMac(store: KeyStore, request: RequestOf<"checkMac">): boolean {
  const whole = mac(store, request.id, request.algorithm, request.input);
  const { length } = request.mac;
  return length > 0 && length <= whole.length && constantTimeEqual(whole.subarray(0, length), request.mac);
}

const TAGS: ReadonlySet<number> = new Set([12, 13, 14, 15, 16]);

/** Ciphertext ‖ tag. @throws BAD_REQUEST, DECRYPT_FAILED. */
export function gcm(store: KeyStore, request: RequestOf<"gcm">): Uint8Array {
  const { id, encrypt, nonce, context, tagLength, input } = request;
  const value = store.secret(id, "aes").value.reveal();
  if (value.length === 0) throw refuse("KEY_USAGE", "an empty key encrypts nothing");
  if (nonce.length === 0 || !TAGS.has(tagLength)) throw refuse("BAD_REQUEST", "no nonce, or a tag of no known length");
  const name = `aes-${value.length * 8}-gcm` as "aes-256-gcm";
  const options = { authTagLength: tagLength };
  if (encrypt) {
    const work = crypto.createCipheriv(name, value, nonce, options).setAAD(context);
    return concat(work.update(input), work.final(), work.getAuthTag());
  }
  if (input.length < tagLength) throw refuse("BAD_REQUEST", "the ciphertext is shorter than its tag");
  const end = input.length - tagLength;
  const work = crypto.createDecipheriv(name, value, nonce, options).setAAD(context).setAuthTag(input.subarray(end));
  const text = work.update(input.subarray(0, end));
  return attempt("DECRYPT_FAILED", "the ciphertext is not authentic", () => concat(text, work.final()));
}
