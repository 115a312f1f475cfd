// Signatures over input that the caller has prepared, through EVP_PKEY_sign(3) of OpenSSL 3.5: the representative μ of ML-DSA (FIPS 204
// §6.2), the encoded M' of ML-DSA and SLH-DSA (FIPS 204 §5.4, FIPS 205 §10.2), the prehash of Ed25519ph and Ed448ph (RFC 8032 §5.1, §5.2).
// node:crypto takes whole messages only.
import { CasemateError } from "@casemate/foundation/errors";
import { pin, type Program } from "./library.ts";

/** What was prepared: μ itself, M' with its domain byte, or the hash that Ed25519ph and Ed448ph sign. */
export type PreparedInput = "mu" | "encoded" | "prehash";

/** A key loaded into libcrypto. Free it with `dispose`: the garbage collector does not. */
export interface PreparedSigner extends Disposable {
  /** @throws CasemateError BAD_REQUEST for an input of another size: 64 bytes for μ and a prehash, 1 to 128 for M'. */
  sign(input: Uint8Array): Uint8Array;
  /** A malformed signature is false. @throws CasemateError BAD_REQUEST for an input of another size. */
  verify(input: Uint8Array, signature: Uint8Array): boolean;
  dispose(): void;
}

export interface PreparedCalls {
  /**
   * Loads a PKCS#8 private key (DER) of this algorithm, as OpenSSL names it: `ED25519`, `ML-DSA-65`, `SLH-DSA-SHA2-128s`. `pkcs8` is wiped.
   * @throws CasemateError BAD_REQUEST for another key, NOT_SUPPORTED for an algorithm that takes no such input.
   */
  loadPrivate(pkcs8: Uint8Array, algorithm: string, input: PreparedInput): PreparedSigner;
}

const ML_DSA = ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"];
const SLH_DSA = ["SHA2", "SHAKE"].flatMap((hash) =>
  ["128s", "128f", "192s", "192f", "256s", "256f"].map((set) => `SLH-DSA-${hash}-${set}`),
);
const MAX_INPUT = 128;

interface InputRow {
  readonly algorithms: readonly string[];
  /** Appended to the key's algorithm, this is the name of the signature algorithm. */
  readonly suffix: string;
  /** The one parameter, an integer; without one the input is taken for a hash. */
  readonly parameter: { readonly name: string; readonly value: number } | undefined;
  readonly what: string;
  readonly least: number;
  readonly most: number;
}

const INPUTS: Readonly<Record<PreparedInput, InputRow>> = {
  mu: {
    algorithms: ML_DSA,
    suffix: "",
    parameter: { name: "mu", value: 1 },
    what: "a message representative has 64 bytes",
    least: 64,
    most: 64,
  },
  encoded: {
    algorithms: [...ML_DSA, ...SLH_DSA],
    suffix: "",
    parameter: { name: "message-encoding", value: 0 },
    what: `an encoded message has 1 to ${MAX_INPUT} bytes`,
    least: 1,
    most: MAX_INPUT,
  },
  prehash: {
    algorithms: ["ED25519", "ED448"],
    suffix: "ph",
    parameter: undefined,
    what: "a prehash has 64 bytes",
    least: 64,
    most: 64,
  },
};

/** A signature of SLH-DSA-SHA2-256f has 49 856 bytes. */
const MAX_SIGNATURE = 50_000;
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
    EVP_PKEY_sign_init_ex2: { return: "int32", arguments: ["pointer", "pointer", "pointer"] },
    EVP_PKEY_verify_init_ex2: { return: "int32", arguments: ["pointer", "pointer", "pointer"] },
    EVP_PKEY_sign: { return: "int32", arguments: ["pointer", "pointer", "pointer", "pointer", "uint64"] },
    EVP_PKEY_verify: { return: "int32", arguments: ["pointer", "pointer", "uint64", "pointer", "uint64"] },
    ERR_clear_error: { return: "void", arguments: [] },
    OPENSSL_cleanse: { return: "void", arguments: ["pointer", "uint64"] },
  });
}

/** An address that stays, and what keeps it alive. */
type Named = ReturnType<typeof pin>;

export function bindPreparedSigner(program: Program): PreparedCalls {
  const evp = bind(program);
  // Every address is taken now: after permission to use ffi is dropped none can be.
  const text = (value: string): Named => {
    const pinned = pin(program.ffi, value.length + 1);
    pinned.bytes.write(value, "latin1");
    return pinned;
  };
  const number = pin(program.ffi, 4);
  const parameters = pin(program.ffi, 2 * OSSL_PARAM_BYTES);
  /** OSSL_PARAM { key, data_type, data, data_size, return_size }, then one of zeros as the end. Written anew for each use. */
  const parameter = (name: Named, value: number): bigint => {
    number.bytes.writeInt32LE(value);
    parameters.bytes.writeBigUInt64LE(name.address, 0);
    parameters.bytes.writeUInt32LE(OSSL_PARAM_INTEGER, 8);
    parameters.bytes.writeBigUInt64LE(number.address, 16);
    parameters.bytes.writeBigUInt64LE(BigInt(number.bytes.length), 24);
    parameters.bytes.writeBigUInt64LE(OSSL_PARAM_UNMODIFIED, 32);
    return parameters.address;
  };
  const names = new Map<string, { readonly name: Named; readonly signature: bigint }>();
  const fetched = (algorithm: string): { readonly name: Named; readonly signature: bigint } => {
    const known = names.get(algorithm);
    if (known !== undefined) return known;
    const name = text(algorithm);
    const signature = evp.EVP_SIGNATURE_fetch(0n, name.address, 0n);
    if (signature === 0n) throw new Error(`libcrypto has no ${algorithm}: needs OpenSSL 3.5`);
    const made = { name, signature };
    names.set(algorithm, made);
    return made;
  };
  const rows = (Object.keys(INPUTS) as PreparedInput[]).flatMap((input) => {
    const row = INPUTS[input];
    const parameterName = row.parameter === undefined ? undefined : text(row.parameter.name);
    return row.algorithms.map((algorithm) => {
      const { signature } = fetched(algorithm + row.suffix);
      const keyName = names.get(algorithm)?.name ?? text(algorithm);
      return [`${input} ${algorithm}`, { ...row, algorithm, signature, keyName, parameterName }] as const;
    });
  });
  const variants = new Map(rows);
  type Variant = (typeof rows)[number][1];
  const encoded = pin(program.ffi, MAX_KEY);
  const cursor = pin(program.ffi, 8);
  const inputIo = pin(program.ffi, MAX_INPUT);
  const signatureIo = pin(program.ffi, MAX_SIGNATURE);
  const signatureLength = pin(program.ffi, 8);

  const setInput = (variant: Variant, input: Uint8Array): bigint => {
    if (input.length < variant.least || input.length > variant.most)
      throw new CasemateError("BAD_REQUEST", `${variant.what}, got ${input.length}`);
    inputIo.bytes.set(input);
    return BigInt(input.length);
  };

  const load = (pkcs8: Uint8Array, variant: Variant): bigint => {
    if (pkcs8.length === 0 || pkcs8.length > MAX_KEY)
      throw new CasemateError("BAD_REQUEST", `private key: ${pkcs8.length} bytes, 1 to ${MAX_KEY} allowed`);
    encoded.bytes.set(pkcs8);
    cursor.bytes.writeBigUInt64LE(encoded.address);
    const key = evp.d2i_AutoPrivateKey(0n, cursor.address, BigInt(pkcs8.length));
    evp.OPENSSL_cleanse(encoded.address, BigInt(pkcs8.length));
    if (key !== 0n && evp.EVP_PKEY_is_a(key, variant.keyName.address) === 1) return key;
    evp.EVP_PKEY_free(key); // takes null
    evp.ERR_clear_error();
    throw new CasemateError("BAD_REQUEST", `private key: not one of ${variant.algorithm}`);
  };

  const context = (key: bigint, variant: Variant, verifying: boolean): bigint => {
    if (key === 0n) throw new TypeError("this key was disposed");
    const made = evp.EVP_PKEY_CTX_new_from_pkey(0n, key, 0n);
    const { parameter: wanted, parameterName, signature } = variant;
    const ready =
      wanted === undefined || parameterName === undefined
        ? (verifying ? evp.EVP_PKEY_verify_init_ex2 : evp.EVP_PKEY_sign_init_ex2)(made, signature, 0n)
        : (verifying ? evp.EVP_PKEY_verify_message_init : evp.EVP_PKEY_sign_message_init)(
            made,
            signature,
            parameter(parameterName, wanted.value),
          );
    if (made !== 0n && ready === 1) return made;
    evp.EVP_PKEY_CTX_free(made); // takes null
    evp.ERR_clear_error();
    throw new CasemateError("DEVICE_FAILED", "libcrypto could not prepare the key");
  };

  return {
    loadPrivate(pkcs8, algorithm, input) {
      let key: bigint;
      const variant = variants.get(`${input} ${algorithm}`);
      try {
        if (variant === undefined)
          throw new CasemateError("NOT_SUPPORTED", `${algorithm} does not sign an input of the kind ${input}`);
        key = load(pkcs8, variant);
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
        sign(bytes) {
          const size = setInput(variant, bytes);
          if (signing === 0n) signing = context(key, variant, false);
          signatureLength.bytes.writeBigUInt64LE(BigInt(MAX_SIGNATURE));
          if (evp.EVP_PKEY_sign(signing, signatureIo.address, signatureLength.address, inputIo.address, size) !== 1) {
            evp.ERR_clear_error();
            throw new CasemateError("DEVICE_FAILED", "libcrypto could not sign");
          }
          // From Buffer's pool: memory of its own costs as much as a twentieth of an ECDSA signature.
          const made = Buffer.allocUnsafe(signatureLength.bytes.readUInt32LE(0));
          signatureIo.bytes.copy(made, 0, 0, made.length);
          return made;
        },
        verify(bytes, signature) {
          const size = setInput(variant, bytes);
          if (signature.length > MAX_SIGNATURE) return false;
          if (verifying === 0n) verifying = context(key, variant, true);
          signatureIo.bytes.set(signature);
          const length = BigInt(signature.length);
          if (evp.EVP_PKEY_verify(verifying, signatureIo.address, length, inputIo.address, size) === 1) return true;
          evp.ERR_clear_error();
          return false;
        },
        dispose,
        [Symbol.dispose]: dispose,
      };
    },
  };
}
