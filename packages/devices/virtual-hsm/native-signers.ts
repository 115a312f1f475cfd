/** Signatures over digests by the OpenSSL inside Node, reached through foundation/ffi. */
import type { KeyObject } from "node:crypto";
import type { EcDigestCalls, MlDsaMuCalls, MlDsaSet } from "@casemate/foundation/ffi";
import type { DigestSigner, EcSignerFactory, MuSignerFactory } from "./digest-signer.ts";

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

export const nativeMuSigner =
  (calls: MlDsaMuCalls): MuSignerFactory =>
  (privateKey, algorithm) =>
    released(calls.loadPrivate(pkcs8(privateKey), algorithm.toUpperCase() as MlDsaSet));
