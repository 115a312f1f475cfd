/** Keys that travel under other keys: PKCS #11 v3.0 §5.18.3 and §5.18.4 with block ciphers and RSA, CKM_RSA_AES_KEY_WRAP for devices. */
import { constants, createCipheriv, createPublicKey, publicEncrypt, type KeyObject } from "node:crypto";
import { concat, fromHex } from "@casemate/foundation/bytes";
import type { Random } from "@casemate/foundation/effects";
import type { RsaPadding, Wrapping } from "@casemate/protocols/session-keys";
import type { HeldKey, KeyStore } from "./key-store.ts";
import { decrypt, pkcs8Of } from "./private-keys.ts";
import { attempt, refuse } from "./refuse.ts";
import { runBlocks } from "./secrets.ts";

/** Uses the bytes that wrapping protects, a secret's value or PKCS#8, and wipes what was made for it. */
export function withValue<T>(key: HeldKey, use: (value: Uint8Array) => T): T {
  if (key.kind === "secret") return use(key.value.reveal());
  const pkcs8 = pkcs8Of(key.key);
  try {
    return use(pkcs8);
  } finally {
    pkcs8.fill(0);
  }
}

/** @throws NOT_EXPORTABLE. */
export function mustBeExtractable(key: HeldKey): void {
  if (!key.grants.extractable) throw refuse("NOT_EXPORTABLE", "this session key is not extractable");
}

/** `value` filled up to whole blocks: with zeros, as PKCS #11 has it for plain modes, or by PKCS#7. */
function filled(value: Uint8Array, size: number, padded: boolean): Uint8Array {
  const whole = padded ? size * (Math.floor(value.length / size) + 1) : size * Math.ceil(value.length / size);
  const out = new Uint8Array(whole).fill(padded ? whole - value.length : 0);
  out.set(value);
  return out;
}

function unfilled(blocks: Uint8Array, size: number): Uint8Array {
  const count = blocks.at(-1) ?? 0;
  const fits = count >= 1 && count <= size && count <= blocks.length;
  if (!fits || blocks.subarray(blocks.length - count).some((byte) => byte !== count))
    throw refuse("DECRYPT_FAILED", "the padding is wrong");
  return blocks.subarray(0, blocks.length - count);
}

const modeOf = (mode: "ecb" | "cbc" | "cbc-pad"): "ecb" | "cbc" => (mode === "ecb" ? "ecb" : "cbc");
const sizeOf = (cipher: "aes" | "des"): number => (cipher === "aes" ? 16 : 8);

/** @throws NOT_EXPORTABLE, KEY_USAGE, BAD_REQUEST. */
export function wrap(store: KeyStore, id: Uint8Array, how: Wrapping, target: Uint8Array): Uint8Array {
  const key = store.get(target);
  mustBeExtractable(key);
  if (how.kind !== "block") throw refuse("KEY_USAGE", "a private key wraps nothing");
  const { cipher, mode, iv } = how;
  const wrapping = store.secret(id, cipher);
  return withValue(key, (value) => {
    const input = filled(value, sizeOf(cipher), mode === "cbc-pad");
    const out = runBlocks(wrapping, { mode: modeOf(mode), encrypt: true, iv, input });
    input.fill(0);
    return out;
  });
}

/** The wrapped bytes in the clear; whoever asks wipes them. @throws DECRYPT_FAILED, KEY_USAGE, BAD_REQUEST. */
export function unwrapped(store: KeyStore, id: Uint8Array, how: Wrapping, wrapped: Uint8Array): Uint8Array {
  if (how.kind === "rsa") return decrypt(store.private(id), { padding: how.padding, input: wrapped });
  const { cipher, mode, iv } = how;
  const out = runBlocks(store.secret(id, cipher), { mode: modeOf(mode), encrypt: false, iv, input: wrapped });
  return mode === "cbc-pad" ? unfilled(out, sizeOf(cipher)) : out;
}

function publicKeyOf(spki: Uint8Array): KeyObject {
  const key = attempt("BAD_REQUEST", "no public key", () =>
    createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }),
  );
  if (key.asymmetricKeyType !== "rsa") throw refuse("BAD_REQUEST", "only an RSA key wraps");
  return key;
}

/** Under a public RSA key. @throws NOT_EXPORTABLE, TOO_LARGE, BAD_REQUEST. */
export function wrapFor(target: HeldKey, spki: Uint8Array, padding: RsaPadding): Uint8Array {
  mustBeExtractable(target);
  const key = publicKeyOf(spki);
  if (padding.kind === "none") throw refuse("BAD_REQUEST", "keys are not wrapped without padding");
  const options =
    padding.kind === "oaep"
      ? { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: padding.hash, oaepLabel: padding.label }
      : { key, padding: constants.RSA_PKCS1_PADDING };
  return withValue(target, (value) =>
    attempt("TOO_LARGE", "the value does not fit under this RSA key", () => publicEncrypt(options, value)),
  );
}

/**
 * For a device's import key. Not bound to what is extractable: the value does not leave for the application, a device takes it over.
 * @throws BAD_REQUEST.
 */
export function seal(target: HeldKey, spki: Uint8Array, random: Random): Uint8Array {
  const key = publicKeyOf(spki);
  const wrapper = random.bytes(32);
  try {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const first = attempt("BAD_REQUEST", "the import key is too short", () =>
      publicEncrypt({ key, padding, oaepHash: "sha256" }, wrapper),
    );
    return withValue(target, (value) => {
      if (value.length === 0) throw refuse("BAD_REQUEST", "an empty key cannot be imported");
      const cipher = createCipheriv("id-aes256-wrap-pad", wrapper, fromHex("a65959a6"));
      return concat(first, cipher.update(value), cipher.final());
    });
  } finally {
    wrapper.fill(0);
  }
}
