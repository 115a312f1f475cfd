// ECDSA over a digest that the caller has computed: FIPS 186-5 §6.4, through EVP_PKEY_sign(3) and EVP_PKEY_verify(3) of the libcrypto
// inside Node. node:crypto always hashes first.
import { CasemateError } from "@casemate/foundation/errors";
import { pin, type Program } from "./library.ts";

/** A key loaded into libcrypto. Free it with `dispose`: the garbage collector does not. */
export interface EcDigestSigner extends Disposable {
  /** DER-encoded ECDSA signature over `digest` (1 to 1024 bytes; longer than the group is cut as FIPS 186-5 says). */
  sign(digest: Uint8Array): Uint8Array;
  /** Whether the DER-encoded signature is one over `digest`. A malformed signature is false. */
  verify(digest: Uint8Array, signature: Uint8Array): boolean;
  dispose(): void;
}

/** As EcDigestSigner, of a public key. */
export type EcDigestVerifier = Omit<EcDigestSigner, "sign">;

export interface EcDigestCalls {
  /** Loads a PKCS#8 private key (DER). `pkcs8` is wiped. @throws CasemateError BAD_REQUEST when it is no EC key or libcrypto refuses it. */
  loadPrivate(pkcs8: Uint8Array): EcDigestSigner;
  /** Loads a SubjectPublicKeyInfo (DER). @throws CasemateError BAD_REQUEST */
  loadPublic(spki: Uint8Array): EcDigestVerifier;
}

const EVP_PKEY_EC = 408;
const MAX_DIGEST = 1024;
/** The largest DER signature of the largest supported group (P-521) is 141 bytes. */
const MAX_SIGNATURE = 256;
const MAX_KEY = 2048;
const OPENSSL_3 = 0x30000000n;

function bind({ library }: Program) {
  return library.getFunctions({
    OpenSSL_version_num: { return: "uint64", arguments: [] },
    d2i_AutoPrivateKey: { return: "pointer", arguments: ["pointer", "pointer", "int64"] },
    d2i_PUBKEY: { return: "pointer", arguments: ["pointer", "pointer", "int64"] },
    EVP_PKEY_get_base_id: { return: "int32", arguments: ["pointer"] },
    EVP_PKEY_CTX_new: { return: "pointer", arguments: ["pointer", "pointer"] },
    EVP_PKEY_CTX_free: { return: "void", arguments: ["pointer"] },
    EVP_PKEY_free: { return: "void", arguments: ["pointer"] },
    EVP_PKEY_sign_init: { return: "int32", arguments: ["pointer"] },
    EVP_PKEY_sign: { return: "int32", arguments: ["pointer", "pointer", "pointer", "pointer", "uint64"] },
    EVP_PKEY_verify_init: { return: "int32", arguments: ["pointer"] },
    EVP_PKEY_verify: { return: "int32", arguments: ["pointer", "pointer", "uint64", "pointer", "uint64"] },
    ERR_clear_error: { return: "void", arguments: [] },
    OPENSSL_cleanse: { return: "void", arguments: ["pointer", "uint64"] },
  });
}

export function bindEcDigest(program: Program): EcDigestCalls {
  const evp = bind(program);
  const version = evp.OpenSSL_version_num();
  if (version < OPENSSL_3) throw new Error("needs OpenSSL 3");
  // Every address is taken now: after permission to use ffi is dropped none can be.
  const encoded = pin(program.ffi, MAX_KEY);
  const cursor = pin(program.ffi, 8);
  const digestIn = pin(program.ffi, MAX_DIGEST);
  const signatureIo = pin(program.ffi, MAX_SIGNATURE);
  const signatureLength = pin(program.ffi, 8);

  const setDigest = (digest: Uint8Array): bigint => {
    if (digest.length === 0 || digest.length > MAX_DIGEST) {
      throw new CasemateError("BAD_REQUEST", `a digest of ${digest.length} bytes, 1 to ${MAX_DIGEST} allowed`);
    }
    digestIn.bytes.set(digest);
    return BigInt(digest.length);
  };

  const load = (der: Uint8Array, what: string, decoder: typeof evp.d2i_PUBKEY): bigint => {
    if (der.length === 0 || der.length > MAX_KEY) {
      throw new CasemateError("BAD_REQUEST", `${what}: ${der.length} bytes, 1 to ${MAX_KEY} allowed`);
    }
    encoded.bytes.set(der);
    cursor.bytes.writeBigUInt64LE(encoded.address);
    const key = decoder(0n, cursor.address, BigInt(der.length));
    const consumed = Number(cursor.bytes.readBigUInt64LE() - encoded.address);
    evp.OPENSSL_cleanse(encoded.address, BigInt(der.length));
    if (key === 0n) {
      evp.ERR_clear_error();
      throw new CasemateError("BAD_REQUEST", `${what}: libcrypto cannot decode it, or its secure memory is full`);
    }
    if (evp.EVP_PKEY_get_base_id(key) !== EVP_PKEY_EC || consumed !== der.length) {
      evp.EVP_PKEY_free(key);
      throw new CasemateError("BAD_REQUEST", `${what}: not exactly one elliptic curve key`);
    }
    return key;
  };

  const context = (key: bigint, init: typeof evp.EVP_PKEY_sign_init): bigint => {
    if (key === 0n) throw new TypeError("this key was disposed");
    const made = evp.EVP_PKEY_CTX_new(key, 0n);
    if (made !== 0n && init(made) === 1) return made;
    evp.EVP_PKEY_CTX_free(made); // takes null
    evp.ERR_clear_error();
    throw new CasemateError("DEVICE_FAILED", "libcrypto could not prepare the key");
  };

  const wrap = (loaded: bigint): EcDigestSigner => {
    let key = loaded;
    let signing = 0n;
    let verifying = 0n;
    const dispose = (): void => {
      evp.EVP_PKEY_CTX_free(signing);
      evp.EVP_PKEY_CTX_free(verifying);
      evp.EVP_PKEY_free(key);
      key = signing = verifying = 0n; // a later call must not reach freed memory
    };
    return {
      sign(digest) {
        if (signing === 0n) signing = context(key, evp.EVP_PKEY_sign_init);
        const length = setDigest(digest);
        signatureLength.bytes.writeBigUInt64LE(BigInt(MAX_SIGNATURE));
        if (evp.EVP_PKEY_sign(signing, signatureIo.address, signatureLength.address, digestIn.address, length) !== 1) {
          evp.ERR_clear_error();
          throw new CasemateError("DEVICE_FAILED", "libcrypto could not sign");
        }
        return Uint8Array.prototype.slice.call(signatureIo.bytes, 0, signatureLength.bytes.readUInt32LE(0));
      },
      verify(digest, signature) {
        if (verifying === 0n) verifying = context(key, evp.EVP_PKEY_verify_init);
        const length = setDigest(digest);
        if (signature.length > MAX_SIGNATURE) return false;
        signatureIo.bytes.set(signature);
        const size = BigInt(signature.length);
        if (evp.EVP_PKEY_verify(verifying, signatureIo.address, size, digestIn.address, length) === 1) return true;
        evp.ERR_clear_error(); // 0 is a wrong signature, below 0 a malformed one
        return false;
      },
      dispose,
      [Symbol.dispose]: dispose,
    };
  };

  return {
    loadPrivate(pkcs8) {
      try {
        return wrap(load(pkcs8, "private key", evp.d2i_AutoPrivateKey));
      } finally {
        pkcs8.fill(0);
      }
    },
    loadPublic: (spki) => wrap(load(spki, "public key", evp.d2i_PUBKEY)),
  };
}
