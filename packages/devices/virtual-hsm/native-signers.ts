/** Signatures over digests by the OpenSSL inside Node, reached through foundation/ffi. */
import type { KeyObject } from "node:crypto";
import type { EcDigestCalls, PreparedCalls } from "@casemate/foundation/ffi";
import type { KeyAlgorithm } from "@casemate/protocols/hsm";
import type { DigestSigner, EcSignerFactory, PreparedSignerFactory } from "./digest-signer.ts";

const pkcs8 = (key: KeyObject): Uint8Array => key.export({ format: "der", type: "pkcs8" });

const released = (signer: Omit<DigestSigner, "release"> & { dispose(): void }): DigestSigner => ({
  sign: (digest) => signer.sign(digest),
  verify: (digest, signature) => signer.verify(digest, signature),
  release: () => signer.dispose(),
});

export const nativeEcSigner =
  (calls: EcDigestCalls): EcSignerFactory =>
  (privateKey) =>
    released(calls.loadPrivate(pkcs8(privateKey)));

/** As OpenSSL names it: all in capitals but the last letter of an SLH-DSA set. */
const opensslName = (algorithm: KeyAlgorithm): string =>
  algorithm.toUpperCase().replace(/[SF]$/, (letter) => letter.toLowerCase());

export const nativePreparedSigner =
  (calls: PreparedCalls): PreparedSignerFactory =>
  (privateKey, algorithm, input) =>
    released(calls.loadPrivate(pkcs8(privateKey), opensslName(algorithm), input));
