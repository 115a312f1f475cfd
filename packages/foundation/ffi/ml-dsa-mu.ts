// ML-DSA over a message representative μ that the caller has computed: FIPS 204 §6.2 and algorithm 7 line 6, through
// EVP_PKEY_sign_message_init(3) with the parameter "mu" (OpenSSL 3.5). node:crypto takes whole messages only.
import { CasemateError } from "@casemate/foundation/errors";
import { pin, type Program } from "./library.ts";

export type MlDsaSet = "ML-DSA-44" | "ML-DSA-65" | "ML-DSA-87";

/** A key loaded into libcrypto. Free it with `dispose`: the garbage collector does not. */
export interface MlDsaMuSigner extends Disposable {
  /** The signature of every message whose μ (64 bytes) this is. @throws CasemateError BAD_REQUEST for another size. */
  sign(mu: Uint8Array): Uint8Array;
  /** A malformed signature is false. @throws CasemateError BAD_REQUEST for a μ of another size. */
  verify(mu: Uint8Array, signature: Uint8Array): boolean;
  dispose(): void;
}

export interface MlDsaMuCalls {
  /** Loads a PKCS#8 private key (DER) of this parameter set. `pkcs8` is wiped. @throws CasemateError BAD_REQUEST */
  loadPrivate(pkcs8: Uint8Array, set: MlDsaSet): MlDsaMuSigner;
}

const MU_BYTES = 64;
/** An ML-DSA-87 signature has 4627 bytes. */
const MAX_SIGNATURE = 5000;
const MAX_KEY = 8192;
const OSSL_PARAM_INTEGER = 1;
const OSSL_PARAM_BYTES = 40;
const OSSL_PARAM_UNMODIFIED = 0xffffffffffffffffn;

function bind({ library }: Program) {
  return library.getFunctions({
    d2i_AutoPrivateKey: { return: "pointer", arguments: ["pointer", "pointer", "int64"] },
    EVP_PKEY_is_a: { return: "int32", arguments: ["pointer", "pointer"] },
    EVP_PKEY_free: { return: "void", arguments: ["pointer"] },
    EVP_PKEY_CTX_new_from_pkey: { return: "pointer", arguments: ["pointer", "pointer", "pointer"] },
    EVP_PKEY_CTX_free: { return: "void", arguments: ["pointer"] },
    EVP_SIGNATURE_fetch: { return: "pointer", arguments: ["pointer", "pointer", "pointer"] },
    EVP_PKEY_sign_message_init: { return: "int32", arguments: ["pointer", "pointer", "pointer"] },
    EVP_PKEY_verify_message_init: { return: "int32", arguments: ["pointer", "pointer", "pointer"] },
    EVP_PKEY_sign: { return: "int32", arguments: ["pointer", "pointer", "pointer", "pointer", "uint64"] },
    EVP_PKEY_verify: { return: "int32", arguments: ["pointer", "pointer", "uint64", "pointer", "uint64"] },
    ERR_clear_error: { return: "void", arguments: [] },
    OPENSSL_cleanse: { return: "void", arguments: ["pointer", "uint64"] },
  });
}

export function bindMlDsaMu(program: Program): MlDsaMuCalls {
  const evp = bind(program);
  // Every address is taken now: after permission to use ffi is dropped none can be.
  const text = (value: string) => {
    const pinned = pin(program.ffi, value.length + 1);
    pinned.bytes.write(value, "latin1");
    return pinned;
  };
  const muName = text("mu");
  const one = pin(program.ffi, 4);
  const parameters = pin(program.ffi, 2 * OSSL_PARAM_BYTES);
  /** OSSL_PARAM { key, data_type, data, data_size, return_size }, then one of zeros as the end. Written anew for each use, which also keeps what it points to alive. */
  const muParameter = (): bigint => {
    one.bytes.writeInt32LE(1);
    parameters.bytes.writeBigUInt64LE(muName.address, 0);
    parameters.bytes.writeUInt32LE(OSSL_PARAM_INTEGER, 8);
    parameters.bytes.writeBigUInt64LE(one.address, 16);
    parameters.bytes.writeBigUInt64LE(BigInt(one.bytes.length), 24);
    parameters.bytes.writeBigUInt64LE(OSSL_PARAM_UNMODIFIED, 32);
    if (muName.bytes.toString("latin1") !== "mu\0") throw new TypeError("the parameter's name is gone");
    return parameters.address;
  };
  const sets = (["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"] as const).map((set) => {
    const name = text(set);
    const signature = evp.EVP_SIGNATURE_fetch(0n, name.address, 0n);
    if (signature === 0n) throw new Error(`libcrypto has no ${set}: needs OpenSSL 3.5`);
    return [set, { name, signature }] as const;
  });
  const known = new Map(sets);
  const encoded = pin(program.ffi, MAX_KEY);
  const cursor = pin(program.ffi, 8);
  const muIn = pin(program.ffi, MU_BYTES);
  const signatureIo = pin(program.ffi, MAX_SIGNATURE);
  const signatureLength = pin(program.ffi, 8);

  const setMu = (mu: Uint8Array): bigint => {
    if (mu.length !== MU_BYTES)
      throw new CasemateError("BAD_REQUEST", `a message representative has ${MU_BYTES} bytes, got ${mu.length}`);
    muIn.bytes.set(mu);
    return BigInt(MU_BYTES);
  };

  const load = (pkcs8: Uint8Array, set: MlDsaSet): bigint => {
    if (pkcs8.length === 0 || pkcs8.length > MAX_KEY)
      throw new CasemateError("BAD_REQUEST", `private key: ${pkcs8.length} bytes, 1 to ${MAX_KEY} allowed`);
    encoded.bytes.set(pkcs8);
    cursor.bytes.writeBigUInt64LE(encoded.address);
    const key = evp.d2i_AutoPrivateKey(0n, cursor.address, BigInt(pkcs8.length));
    evp.OPENSSL_cleanse(encoded.address, BigInt(pkcs8.length));
    if (key !== 0n && evp.EVP_PKEY_is_a(key, known.get(set)?.name.address ?? 0n) === 1) return key;
    evp.EVP_PKEY_free(key); // takes null
    evp.ERR_clear_error();
    throw new CasemateError("BAD_REQUEST", `private key: not one of ${set}`);
  };

  const context = (key: bigint, set: MlDsaSet, init: typeof evp.EVP_PKEY_sign_message_init): bigint => {
    if (key === 0n) throw new TypeError("this key was disposed");
    const made = evp.EVP_PKEY_CTX_new_from_pkey(0n, key, 0n);
    if (made !== 0n && init(made, known.get(set)?.signature ?? 0n, muParameter()) === 1) return made;
    evp.EVP_PKEY_CTX_free(made); // takes null
    evp.ERR_clear_error();
    throw new CasemateError("DEVICE_FAILED", "libcrypto could not prepare the key");
  };

  return {
    loadPrivate(pkcs8, set) {
      let key: bigint;
      try {
        key = load(pkcs8, set);
      } finally {
        pkcs8.fill(0);
      }
      let signing = 0n;
      let verifying = 0n;
      const dispose = (): void => {
        evp.EVP_PKEY_CTX_free(signing);
        evp.EVP_PKEY_CTX_free(verifying);
        evp.EVP_PKEY_free(key);
        key = signing = verifying = 0n; // a later call must not reach freed memory
      };
      return {
        sign(mu) {
          const size = setMu(mu);
          if (signing === 0n) signing = context(key, set, evp.EVP_PKEY_sign_message_init);
          signatureLength.bytes.writeBigUInt64LE(BigInt(MAX_SIGNATURE));
          if (evp.EVP_PKEY_sign(signing, signatureIo.address, signatureLength.address, muIn.address, size) !== 1) {
            evp.ERR_clear_error();
            throw new CasemateError("DEVICE_FAILED", "libcrypto could not sign");
          }
          return Uint8Array.prototype.slice.call(signatureIo.bytes, 0, signatureLength.bytes.readUInt32LE(0));
        },
        verify(mu, signature) {
          const size = setMu(mu);
          if (signature.length > MAX_SIGNATURE) return false;
          if (verifying === 0n) verifying = context(key, set, evp.EVP_PKEY_verify_message_init);
          signatureIo.bytes.set(signature);
          const length = BigInt(signature.length);
          if (evp.EVP_PKEY_verify(verifying, signatureIo.address, length, muIn.address, size) === 1) return true;
          evp.ERR_clear_error();
          return false;
        },
        dispose,
        [Symbol.dispose]: dispose,
      };
    },
  };
}
