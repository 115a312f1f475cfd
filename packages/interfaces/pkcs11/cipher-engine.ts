// Implements: PKCS #11 v3.0 Current Mechanisms, RSA encryption and block ciphers with any key: in the device, or of the session.
import { constants, publicEncrypt } from "node:crypto";
import { concat } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import type { CipherScheme } from "@casemate/devices/contract";
import type { Caller } from "@casemate/keyring/core";
import { CKG, CKM, type MechanismParameter } from "@casemate/protocols/p11-rpc";
import { LIMITS, type RsaPadding } from "@casemate/protocols/session-keys";
import { nextChain, type BlockMode } from "./chaining.ts";
import { need, only, type Maybe, type Ports } from "./context.ts";
import { HASH_BY_MECHANISM, HASH_BYTES, type CipherSpec, type Hash } from "./mechanisms.ts";
import type { DeviceKey, Material } from "./object.ts";
import { usePublicKey } from "./public-key-use.ts";
import { leftPad, modulusBits, publicRaw } from "./rsa.ts";
import type { SessionPrivate, SessionSecret } from "./session-keyring.ts";
import { failure } from "./status.ts";

const EMPTY = new Uint8Array(0);

/** Whole blocks through one key, without chaining of our own. */
export interface BlockCipher {
  readonly blockSize: number;
  ecb(encrypt: boolean, blocks: Uint8Array): Maybe<Uint8Array>;
  cbcEncrypt(iv: Uint8Array, blocks: Uint8Array): Maybe<Uint8Array>;
  /** Further modes, where the key's holder has them: any length in the modes that make a stream. */
  readonly run?: (mode: BlockMode, encrypt: boolean, iv: Uint8Array, data: Uint8Array) => Promise<Uint8Array>;
}

/** One input, one output: RSA and GCM. */
export interface WholeCipher {
  /** The most that comes out for this much input. */
  size(inputLength: number): number;
  /** @throws CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE for an input of a length that does not fit. */
  check?(length: number): void;
  run(input: Uint8Array): Maybe<Uint8Array>;
}

/** Runs an operation of node:crypto and answers a Cryptoki failure when it refuses. */
function attempt<T>(rv: Parameters<typeof failure>[0], run: () => T): T {
  try {
    return run();
  } catch {
    throw failure(rv);
  }
}

interface Oaep {
  readonly hash: Hash;
  readonly label: Uint8Array;
}

const MGF_OF: Readonly<Partial<Record<Hash, number>>> = {
  sha1: CKG.MGF1_SHA1,
  sha224: CKG.MGF1_SHA224,
  sha256: CKG.MGF1_SHA256,
  sha384: CKG.MGF1_SHA384,
  sha512: CKG.MGF1_SHA512,
};

function oaep(parameter: MechanismParameter | undefined): Oaep {
  if (parameter?.kind !== "oaep") throw failure("MECHANISM_PARAM_INVALID");
  const hash = HASH_BY_MECHANISM.get(parameter.hash);
  // CKZ_DATA_SPECIFIED is 1; programs that give no label leave the source at 0.
  const sourced = parameter.source === 1 || (parameter.source === 0 && parameter.label.length === 0);
  if (hash === undefined || MGF_OF[hash] !== parameter.mgf || !sourced) throw failure("MECHANISM_PARAM_INVALID");
  return { hash, label: parameter.label };
}

/** The devices' own scheme, if they have one. */
function ownOaep({ hash }: Oaep): CipherScheme | undefined {
  return hash === "sha1" || hash === "sha256" || hash === "sha384" || hash === "sha512"
    ? `rsa-oaep-${hash}`
    : undefined;
}

function deviceOaep(named: Oaep): CipherScheme {
  const scheme = ownOaep(named);
  if (scheme !== undefined) return scheme;
  throw failure("MECHANISM_PARAM_INVALID", "devices do OAEP with SHA-1, SHA-256, SHA-384 and SHA-512");
}

function publicCipher(
  material: Extract<Material, { kind: "public" }>,
  spec: CipherSpec,
  parameter: MechanismParameter | undefined,
): WholeCipher {
  const { key } = material;
  const bytes = Math.ceil(modulusBits(key) / 8);
  const size = (): number => bytes;
  switch (spec.kind) {
    case "rsa-pkcs1":
      return {
        size,
        check(length) {
          if (length > bytes - 11) throw failure("DATA_LEN_RANGE");
        },
        run: (input) => publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, input),
      };
    case "rsa-oaep": {
      const { hash, label } = oaep(parameter);
      return {
        size,
        check(length) {
          if (length > bytes - 2 * HASH_BYTES[hash] - 2) throw failure("DATA_LEN_RANGE");
        },
        run(input) {
          const options = { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash, oaepLabel: label };
          return attempt("DATA_LEN_RANGE", () => publicEncrypt(options, input));
        },
      };
    }
    case "rsa-x509":
      return { size, run: (input) => publicRaw(key, leftPad(input, bytes)) };
    default:
      throw failure("KEY_TYPE_INCONSISTENT");
  }
}

/** Encryption by the keyring under a device key's public half: the same policy and audit as over REST. */
function keyringCipher(
  ports: Ports,
  caller: Caller,
  { name, version }: DeviceKey,
  here: WholeCipher,
  spec: CipherSpec,
  parameter: MechanismParameter | undefined,
): WholeCipher {
  const named = spec.kind === "rsa-oaep" ? oaep(parameter) : undefined;
  const scheme = named === undefined ? (spec.kind === "rsa-pkcs1" ? spec.kind : undefined) : ownOaep(named);
  if (scheme === undefined) return here;
  return {
    ...here,
    async run(data) {
      const item = named === undefined || named.label.length === 0 ? { data } : { data, context: named.label };
      try {
        return only((await ports.keyring.encrypt(caller, name, { scheme, raw: true, version, items: [item] })).results);
      } catch (error) {
        if (isCasemateError(error) && error.code === "NOT_SUPPORTED") return here.run(data);
        throw error;
      }
    },
  };
}

/** How an RSA mechanism pads, for the process of the session keys. @throws CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_PARAM_INVALID. */
export function rsaPadding(spec: CipherSpec, parameter: MechanismParameter | undefined): RsaPadding {
  switch (spec.kind) {
    case "rsa-pkcs1":
      return { kind: "pkcs1" };
    case "rsa-oaep":
      return { kind: "oaep", ...oaep(parameter) };
    case "rsa-x509":
      return { kind: "none" };
    default:
      throw failure("KEY_TYPE_INCONSISTENT");
  }
}

/** The check of a ciphertext that has one length. */
function exactly(bytes: number): (length: number) => void {
  return (length) => {
    if (length !== bytes) throw failure("ENCRYPTED_DATA_LEN_RANGE");
  };
}

function sessionDecrypt(
  { sessionKeys }: Ports,
  caller: Caller | undefined,
  key: SessionPrivate,
  spec: CipherSpec,
  parameter: MechanismParameter | undefined,
): WholeCipher {
  const bytes = Math.ceil(modulusBits(key.public) / 8);
  const padding = rsaPadding(spec, parameter);
  const details = { operation: "decrypt", mechanism: spec.kind };
  return {
    size: () => bytes,
    check: exactly(bytes),
    async run(input) {
      return (await sessionKeys.use(caller, key, details, "decrypt", { id: key.id, padding, input })).bytes;
    },
  };
}

function deviceDecrypt(
  ports: Ports,
  caller: Caller,
  key: DeviceKey,
  spec: CipherSpec,
  parameter: MechanismParameter | undefined,
): WholeCipher {
  const bytes = Number(key.algorithm.slice(4)) / 8;
  const named = spec.kind === "rsa-oaep" ? oaep(parameter) : undefined;
  if (named === undefined && spec.kind !== "rsa-pkcs1") {
    throw failure("MECHANISM_INVALID", "a device key does not decrypt without padding");
  }
  const scheme: CipherScheme = named === undefined ? "rsa-pkcs1" : deviceOaep(named);
  return {
    size: () => bytes,
    check: exactly(bytes),
    async run(data) {
      const item = named === undefined || named.label.length === 0 ? { data } : { data, context: named.label };
      const { results } = await ports.keyring.decrypt(caller, key.name, {
        scheme,
        raw: true,
        version: key.version,
        items: [item],
      });
      return only(results);
    },
  };
}

function gcm(
  { sessionKeys }: Ports,
  caller: Caller | undefined,
  key: SessionSecret,
  encrypt: boolean,
  parameter: MechanismParameter | undefined,
): WholeCipher {
  if (parameter?.kind !== "gcm" || parameter.iv.length === 0 || ![96, 104, 112, 120, 128].includes(parameter.tagBits)) {
    throw failure("MECHANISM_PARAM_INVALID");
  }
  const { iv: nonce, aad: context, tagBits } = parameter;
  if (nonce.length > LIMITS.nonce || context.length > LIMITS.context) throw failure("MECHANISM_PARAM_INVALID");
  const tagLength = tagBits / 8;
  const details = { operation: encrypt ? "encrypt" : "decrypt", mechanism: "aes-gcm" };
  return {
    size: (length) => (encrypt ? length + tagLength : Math.max(0, length - tagLength)),
    check(length) {
      if (!encrypt && length < tagLength) throw failure("ENCRYPTED_DATA_LEN_RANGE");
    },
    async run(input) {
      const request = { id: key.id, encrypt, nonce, context, tagLength, input };
      return (await sessionKeys.use(caller, key, details, "gcm", request)).bytes;
    },
  };
}

/** Devices make GCM nonces themselves, so that none repeats: a caller's nonce is for decryption alone. */
function deviceGcm(
  ports: Ports,
  caller: Caller,
  key: DeviceKey,
  encrypt: boolean,
  parameter: MechanismParameter | undefined,
): WholeCipher {
  if (encrypt) throw failure("MECHANISM_PARAM_INVALID", "the device makes the nonce; use a session key or REST");
  if (parameter?.kind !== "gcm" || parameter.iv.length !== 12 || parameter.tagBits !== 128) {
    throw failure("MECHANISM_PARAM_INVALID", "a device key takes a nonce of 12 bytes and a tag of 128 bits");
  }
  const { iv, aad } = parameter;
  return {
    size: (length) => Math.max(0, length - 16),
    check(length) {
      if (length < 16) throw failure("ENCRYPTED_DATA_LEN_RANGE");
    },
    async run(input) {
      const { results } = await ports.keyring.decrypt(caller, key.name, {
        scheme: "aes-gcm",
        raw: true,
        version: key.version,
        items: [{ data: concat(iv, input), ...(aad.length === 0 ? {} : { context: aad }) }],
      });
      return only(results);
    },
  };
}

/** @throws CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_PARAM_INVALID, CKR_USER_NOT_LOGGED_IN. */
export function wholeCipher(
  ports: Ports,
  caller: Caller | undefined,
  material: Material,
  spec: CipherSpec,
  encrypt: boolean,
  parameter: MechanismParameter | undefined,
): WholeCipher {
  if (spec.kind === "gcm") {
    if (material.kind === "device") return deviceGcm(ports, need(caller), material.key, encrypt, parameter);
    if (material.kind === "secret") return gcm(ports, caller, material.key, encrypt, parameter);
    throw failure("KEY_TYPE_INCONSISTENT");
  }
  if (encrypt) {
    if (material.kind !== "public") throw failure("KEY_TYPE_INCONSISTENT");
    const local = publicCipher(material, spec, parameter);
    const { device } = material;
    const who = caller ?? ports.service;
    const here: WholeCipher = {
      ...local,
      run: (data) => usePublicKey(ports, who, material, "encrypt", { mechanism: spec.kind }, () => local.run(data)),
    };
    return who === undefined || device === undefined ? here : keyringCipher(ports, who, device, here, spec, parameter);
  }
  if (material.kind === "device") return deviceDecrypt(ports, need(caller), material.key, spec, parameter);
  if (material.kind === "private") return sessionDecrypt(ports, caller, material.key, spec, parameter);
  throw failure("KEY_TYPE_INCONSISTENT");
}

function deviceBlocks(ports: Ports, caller: Caller, key: DeviceKey): BlockCipher {
  const { name, version } = key;
  return {
    blockSize: 16,
    async ecb(encrypt, data) {
      if (data.length === 0) return data;
      const request = { scheme: "aes-ecb" as const, raw: true, version, items: [{ data }] };
      const { results } = encrypt
        ? await ports.keyring.encrypt(caller, name, request)
        : await ports.keyring.decrypt(caller, name, request);
      return only(results);
    },
    async cbcEncrypt(iv, data) {
      if (data.length === 0) return data;
      const { results } = await ports.keyring.encrypt(caller, name, {
        scheme: "aes-cbc",
        raw: true,
        version,
        items: [{ data, iv }],
      });
      // The device puts the iv in front and a block of padding behind.
      return only(results).subarray(16, 16 + data.length);
    },
  };
}

/** More goes to the process of the session keys in pieces. */
const PIECE = 4 * 1024 * 1024;

/** @throws CKR_KEY_SIZE_RANGE. */
function sessionBlocks(
  { sessionKeys }: Ports,
  caller: Caller | undefined,
  key: SessionSecret,
  cipher: "aes" | "des",
): BlockCipher {
  if (key.length === 0) throw failure("KEY_SIZE_RANGE");
  const blockSize = cipher === "des" ? 8 : 16;
  const piece = async (mode: BlockMode, encrypt: boolean, iv: Uint8Array, input: Uint8Array): Promise<Uint8Array> => {
    const details = { operation: encrypt ? "encrypt" : "decrypt", mechanism: `${cipher}-${mode}` };
    const request = { id: key.id, cipher, mode, encrypt, iv, input };
    return (await sessionKeys.use(caller, key, details, "cipher", request)).bytes;
  };
  const run: BlockCipher["run"] = async (mode, encrypt, iv, data) => {
    if (data.length <= PIECE) return piece(mode, encrypt, iv, data);
    const parts: Uint8Array[] = [];
    let chain = iv;
    for (let at = 0; at < data.length; at += PIECE) {
      const input = data.subarray(at, at + PIECE);
      // oxlint-disable-next-line no-await-in-loop -- each piece chains on the one before
      const output = await piece(mode, encrypt, chain, input);
      chain = nextChain(mode, encrypt, chain, input, output);
      parts.push(output);
    }
    return concat(...parts);
  };
  return {
    blockSize,
    run,
    ecb: (encrypt, blocks) => (blocks.length === 0 ? blocks : run("ecb", encrypt, EMPTY, blocks)),
    cbcEncrypt: (iv, blocks) => run("cbc", true, iv, blocks),
  };
}

/** @throws CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_SIZE_RANGE, CKR_USER_NOT_LOGGED_IN. */
export function blockCipher(
  ports: Ports,
  caller: Caller | undefined,
  material: Material,
  cipher: "aes" | "des",
): BlockCipher {
  if (material.kind === "secret") return sessionBlocks(ports, caller, material.key, cipher);
  if (material.kind === "device" && cipher === "aes" && material.key.algorithm.startsWith("aes-")) {
    return deviceBlocks(ports, need(caller), material.key);
  }
  throw failure("KEY_TYPE_INCONSISTENT");
}

/** The iv or counter block of a mechanism. @throws CKR_MECHANISM_PARAM_INVALID. */
export function initialBlock(type: number, parameter: MechanismParameter | undefined, blockSize: number): Uint8Array {
  if (type === CKM.AES_CTR) {
    if (parameter?.kind !== "ctr" || parameter.block.length !== 16 || parameter.bits < 1 || parameter.bits > 128) {
      throw failure("MECHANISM_PARAM_INVALID");
    }
    return parameter.block;
  }
  if (parameter?.kind !== "bytes" || parameter.bytes.length !== blockSize) throw failure("MECHANISM_PARAM_INVALID");
  return parameter.bytes;
}
