/** Secrets from secrets: hash derivation (PKCS #11 v3.0, CKM_SHA…_KEY_DERIVATION), ANSI X9.63, and cutting. */
import { createHash } from "node:crypto";
import type { DeriveRequest, Hash, RequestOf } from "@casemate/protocols/session-keys";
import type { KeyStore } from "./key-store.ts";
import { refuse } from "./refuse.ts";

function x963(hash: Hash, secret: Uint8Array, shared: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  const counter = new Uint8Array(4);
  for (let at = 0, i = 1; at < length; i++) {
    new DataView(counter.buffer).setUint32(0, i);
    const block = createHash(hash).update(secret).update(counter).update(shared).digest();
    out.set(block.subarray(0, length - at), at);
    at += block.length;
    block.fill(0);
  }
  return out;
}

/** A new value of `length` bytes. @throws CONFLICT when there are fewer. */
export function derive(secret: Uint8Array, { how, length }: Pick<DeriveRequest, "how" | "length">): Uint8Array {
  if (how.kind === "x963") return x963(how.hash, secret, how.shared, length);
  const whole = how.kind === "hash" ? createHash(how.hash).update(secret).digest() : secret;
  if (length > whole.length) throw refuse("CONFLICT", `${length} bytes are asked, ${whole.length} come out`);
  const value = how.kind === "hash" ? whole.subarray(0, length) : whole.subarray(whole.length - length);
  const out = Uint8Array.from(value);
  if (how.kind === "hash") whole.fill(0);
  return out;
}

/** A digest over bytes and the values of secret keys. */
export function digest(store: KeyStore, { hash, parts }: RequestOf<"digest">): Uint8Array {
  const state = createHash(hash);
  for (const part of parts)
    state.update(part.kind === "bytes" ? part.bytes : store.secret(part.id, "generic", "aes", "des").value.reveal());
  return state.digest();
}
