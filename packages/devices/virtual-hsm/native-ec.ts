/** ECDSA over digests by the OpenSSL inside Node, reached through foundation/ffi. */
import type { EcDigestCalls } from "@casemate/foundation/ffi";
import type { EcSignerFactory } from "./ec-signer.ts";

export const nativeEcSigner =
  (calls: EcDigestCalls): EcSignerFactory =>
  (privateKey) => {
    const signer = calls.loadPrivate(privateKey.export({ format: "der", type: "pkcs8" }));
    return {
      sign: (digest) => signer.sign(digest),
      verify: (digest, signature) => signer.verify(digest, signature),
      release: () => signer.dispose(),
    };
  };
