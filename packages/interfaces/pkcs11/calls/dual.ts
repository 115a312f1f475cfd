// Implements: PKCS #11 v3.0 §5.17, two operations over the same data.
import { SIZE_QUERY, type ByteArray } from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import type { Maybe } from "../context.ts";
import { cipherCalls } from "./cipher.ts";
import { digestCalls } from "./digest.ts";
import { signCalls } from "./sign.ts";
import type { Calls } from "./types.ts";
import { verifyCalls } from "./verify.ts";

type Feed = (application: Application, handle: number, data: ByteArray) => Maybe<[]>;
type Output = [Uint8Array | number];

function then<A, B>(value: Maybe<A>, next: (value: A) => Maybe<B>): Maybe<B> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Feeds the plaintext to `feed` once, when its ciphertext really goes out. */
function encrypting(kind: "digest" | "sign", feed: Feed) {
  return (application: Application, handle: number, data: ByteArray, capacity: number): Maybe<Output> => {
    application.session(handle).running(kind);
    return then(cipherCalls.C_EncryptUpdate(application, handle, data, capacity), (output) => {
      if (typeof output[0] === "number") return output;
      return then(feed(application, handle, data), () => output);
    });
  };
}

function decrypting(kind: "digest" | "verify", feed: Feed) {
  return (application: Application, handle: number, data: ByteArray, capacity: number): Maybe<Output> => {
    application.session(handle).running(kind);
    return then(cipherCalls.C_DecryptUpdate(application, handle, data, capacity), (output) => {
      const [text] = output;
      if (typeof text === "number" || capacity === SIZE_QUERY) return output;
      return then(feed(application, handle, text), () => output);
    });
  };
}

export const dualCalls: Calls<
  "C_DigestEncryptUpdate" | "C_DecryptDigestUpdate" | "C_SignEncryptUpdate" | "C_DecryptVerifyUpdate"
> = {
  C_DigestEncryptUpdate: encrypting("digest", digestCalls.C_DigestUpdate),
  C_DecryptDigestUpdate: decrypting("digest", digestCalls.C_DigestUpdate),
  C_SignEncryptUpdate: encrypting("sign", signCalls.C_SignUpdate),
  C_DecryptVerifyUpdate: decrypting("verify", verifyCalls.C_VerifyUpdate),
};
