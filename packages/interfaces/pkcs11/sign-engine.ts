// Implements: PKCS #11 v3.0 §5.13 and Current Mechanisms, signatures of one input with any key: in the device, or of the session.
import type { InputKind, MacScheme, SignScheme } from "@casemate/devices/contract";
import type { Caller } from "@casemate/keyring/core";
import { CKG, type MechanismParameter } from "@casemate/protocols/p11-rpc";
import type { MacAlgorithm } from "@casemate/protocols/session-keys";
import { need, only, type Maybe, type Ports } from "./context.ts";
import { curveByAlgorithm, curveOfKey, signatureFromDer } from "./curves.ts";
import { HASH_BY_MECHANISM, HASH_BYTES, type Hash, type SignSpec } from "./mechanisms.ts";
import type { DeviceKey, Material } from "./object.ts";
import { digestInfo, encodePss, fitsPss, leftPad, modulusBits, padPkcs1, type PssParameters } from "./rsa.ts";
import { named, type SessionPrivate, type SessionSecret } from "./session-keyring.ts";
import { failure } from "./status.ts";

export interface SignEngine {
  /** The hash that multi-part input goes through first; absent when the input is signed as it is. */
  readonly hash?: Hash;
  /** Bytes of a signature. */
  readonly length: number;
  sign(input: Uint8Array): Maybe<Uint8Array>;
  /** Signs a short message that nobody hashed: the device does both, on a thread of its own where there is more to do. */
  signMessage?(message: Uint8Array): Maybe<Uint8Array>;
}

/** Longer messages are hashed here: less to carry to the device. */
export const SHORT_MESSAGE = 4096;

const MGF: ReadonlyMap<number, Hash> = new Map([
  [CKG.MGF1_SHA1, "sha1"],
  [CKG.MGF1_SHA224, "sha224"],
  [CKG.MGF1_SHA256, "sha256"],
  [CKG.MGF1_SHA384, "sha384"],
  [CKG.MGF1_SHA512, "sha512"],
]);

/** The PSS parameters of a mechanism, for a modulus of `bits`. @throws CKR_MECHANISM_PARAM_INVALID. */
export function pssParameters(
  parameter: MechanismParameter | undefined,
  fixed: Hash | undefined,
  bits: number,
): PssParameters {
  if (parameter?.kind !== "pss") throw failure("MECHANISM_PARAM_INVALID");
  const hash = HASH_BY_MECHANISM.get(parameter.hash);
  const mgf = MGF.get(parameter.mgf);
  if (hash === undefined || mgf === undefined || (fixed !== undefined && fixed !== hash)) {
    throw failure("MECHANISM_PARAM_INVALID");
  }
  const pss = { hash, mgf, saltLength: parameter.saltLength };
  if (!fitsPss(pss, bits)) throw failure("MECHANISM_PARAM_INVALID", "the modulus has no room for such a salt");
  return pss;
}

/** Bytes that a MAC is cut to. @throws CKR_MECHANISM_PARAM_INVALID. */
export function macLength(spec: { readonly general: boolean }, whole: number, parameter?: MechanismParameter): number {
  if (!spec.general) return whole;
  if (parameter?.kind !== "ulong" || parameter.value < 1 || parameter.value > whole) {
    throw failure("MECHANISM_PARAM_INVALID");
  }
  return parameter.value;
}

/** The device's own scheme for PSS with the parameters that everybody uses; undefined for odd ones. */
export function ownPss(pss: PssParameters): SignScheme | undefined {
  if (pss.hash !== pss.mgf || pss.saltLength !== HASH_BYTES[pss.hash]) return undefined;
  return pss.hash === "sha256" || pss.hash === "sha384" || pss.hash === "sha512" ? `rsa-pss-${pss.hash}` : undefined;
}

function deviceSign(ports: Ports, caller: Caller, key: DeviceKey, scheme: SignScheme, kind: InputKind) {
  const { keyring } = ports;
  const { name, version } = key;
  return async (input: Uint8Array): Promise<Uint8Array> =>
    only((await keyring.sign(caller, name, { scheme, version, kind, inputs: [input] })).results);
}

function deviceEngine(
  ports: Ports,
  caller: Caller,
  key: DeviceKey,
  spec: SignSpec,
  parameter: MechanismParameter | undefined,
): SignEngine {
  const rsaBits = Number(key.algorithm.slice(4));
  const rsaBytes = rsaBits / 8;
  switch (spec.kind) {
    case "rsa-pkcs1": {
      const { hash } = spec;
      if (hash === "sha256" || hash === "sha384" || hash === "sha512") {
        const scheme = `rsa-pkcs1-${hash}` as const;
        return {
          hash,
          length: rsaBytes,
          sign: deviceSign(ports, caller, key, scheme, "digest"),
          signMessage: deviceSign(ports, caller, key, scheme, "message"),
        };
      }
      const raw = deviceSign(ports, caller, key, "rsa-pkcs1-raw", "message");
      if (hash !== undefined) return { hash, length: rsaBytes, sign: (input) => raw(digestInfo(hash, input)) };
      return {
        length: rsaBytes,
        sign(input) {
          if (input.length > rsaBytes - 11) throw failure("DATA_LEN_RANGE");
          return raw(input);
        },
      };
    }
    case "rsa-x509": {
      const raw = deviceSign(ports, caller, key, "rsa-raw", "message");
      // What is as long as the modulus and not below it.
      const names = { BAD_REQUEST: "DATA_INVALID" } as const;
      return { length: rsaBytes, sign: (input) => named(raw(leftPad(input, rsaBytes)), names) };
    }
    case "rsa-pss": {
      const pss = pssParameters(parameter, spec.hash, rsaBits);
      const own = ownPss(pss);
      const hash = spec.hash === undefined ? {} : { hash: spec.hash };
      const direct = own === undefined ? undefined : deviceSign(ports, caller, key, own, "digest");
      const raw = deviceSign(ports, caller, key, "rsa-raw", "message");
      const whole = own === undefined ? undefined : deviceSign(ports, caller, key, own, "message");
      return {
        ...hash,
        ...(whole === undefined ? {} : { signMessage: whole }),
        length: rsaBytes,
        sign(input) {
          if (input.length !== HASH_BYTES[pss.hash]) throw failure("DATA_LEN_RANGE");
          return direct === undefined ? raw(encodePss(input, pss, rsaBits)) : direct(input);
        },
      };
    }
    case "ecdsa": {
      const bytes = curveByAlgorithm(key.algorithm)?.bytes ?? 32;
      const raw = deviceSign(ports, caller, key, "ecdsa-raw", "digest");
      return {
        ...(spec.hash === undefined ? {} : { hash: spec.hash }),
        length: 2 * bytes,
        async sign(input) {
          if (input.length === 0) throw failure("DATA_LEN_RANGE");
          // Only the leftmost bits count (FIPS 186-5 §6.4.1).
          return signatureFromDer(await raw(input.subarray(0, 66)), bytes);
        },
      };
    }
    case "eddsa":
      return {
        length: key.algorithm === "ed448" ? 114 : 64,
        sign: deviceSign(ports, caller, key, "pure", "message"),
      };
    case "hmac":
    case "cmac": {
      const whole = spec.kind === "hmac" ? HASH_BYTES[spec.hash] : 16;
      const scheme = spec.kind === "hmac" ? `hmac-${spec.hash}` : "aes-cmac";
      if (spec.kind === "hmac" && key.algorithm !== scheme) {
        throw failure("KEY_TYPE_INCONSISTENT", `a device key does one MAC: ${key.algorithm}`);
      }
      const length = macLength(spec, whole, parameter);
      return {
        length,
        async sign(input) {
          const { results } = await ports.keyring.mac(caller, key.name, {
            scheme: scheme as MacScheme,
            version: key.version,
            inputs: [input],
          });
          return only(results).subarray(0, length);
        },
      };
    }
  }
}

/** How the process of the session keys calls a MAC, and how long a whole one is. */
export function sessionMac(
  key: SessionSecret,
  spec: SignSpec,
  parameter: MechanismParameter | undefined,
): { readonly algorithm: MacAlgorithm; readonly length: number } {
  if (spec.kind === "hmac") {
    return { algorithm: `hmac-${spec.hash}`, length: macLength(spec, HASH_BYTES[spec.hash], parameter) };
  }
  if (spec.kind !== "cmac") throw failure("KEY_TYPE_INCONSISTENT");
  if (key.length === 0) throw failure("KEY_SIZE_RANGE");
  return { algorithm: "aes-cmac", length: macLength(spec, 16, parameter) };
}

function secretEngine(
  { sessionKeys }: Ports,
  caller: Caller | undefined,
  key: SessionSecret,
  spec: SignSpec,
  parameter: MechanismParameter | undefined,
): SignEngine {
  const { algorithm, length } = sessionMac(key, spec, parameter);
  const details = { operation: "mac", mechanism: algorithm };
  return {
    length,
    async sign(input) {
      const { bytes } = await sessionKeys.use(caller, key, details, "mac", { id: key.id, algorithm, input });
      return bytes.subarray(0, length);
    },
  };
}

function sessionEngine(
  { sessionKeys }: Ports,
  caller: Caller | undefined,
  key: SessionPrivate,
  spec: SignSpec,
  parameter: MechanismParameter | undefined,
): SignEngine {
  const bits = modulusBits(key.public);
  const bytes = Math.ceil(bits / 8);
  const hash = "hash" in spec ? spec.hash : undefined;
  const details = { operation: "sign", mechanism: hash === undefined ? spec.kind : `${spec.kind}-${hash}` };
  const sign = async (scheme: "rsa-raw" | "ecdsa" | "eddsa", input: Uint8Array): Promise<Uint8Array> =>
    (await sessionKeys.use(caller, key, details, "sign", { id: key.id, scheme, input })).bytes;
  const raw = (input: Uint8Array): Promise<Uint8Array> =>
    named(sign("rsa-raw", input), { BAD_REQUEST: "DATA_INVALID" });
  switch (spec.kind) {
    case "rsa-pkcs1": {
      if (hash === undefined) return { length: bytes, sign: (input) => raw(padPkcs1(input, bytes)) };
      return { hash, length: bytes, sign: (input) => raw(padPkcs1(digestInfo(hash, input), bytes)) };
    }
    case "rsa-x509":
      return { length: bytes, sign: (input) => raw(leftPad(input, bytes)) };
    case "rsa-pss": {
      const pss = pssParameters(parameter, spec.hash, bits);
      return {
        ...(hash === undefined ? {} : { hash }),
        length: bytes,
        sign(input) {
          if (input.length !== HASH_BYTES[pss.hash]) throw failure("DATA_LEN_RANGE");
          return raw(encodePss(input, pss, bits));
        },
      };
    }
    case "ecdsa": {
      const half = curveOfKey(key.public)?.bytes ?? 32;
      return {
        ...(hash === undefined ? {} : { hash }),
        length: 2 * half,
        async sign(input) {
          if (input.length === 0) throw failure("DATA_LEN_RANGE");
          // Only the leftmost bits count (FIPS 186-5 §6.4.1).
          return signatureFromDer(await sign("ecdsa", input.subarray(0, 66)), half);
        },
      };
    }
    case "eddsa":
      return {
        length: key.public.asymmetricKeyType === "ed448" ? 114 : 64,
        sign: (input) => sign("eddsa", input),
      };
    default:
      throw failure("KEY_TYPE_INCONSISTENT");
  }
}

/** @throws CKR_MECHANISM_PARAM_INVALID, CKR_KEY_TYPE_INCONSISTENT, CKR_USER_NOT_LOGGED_IN. */
export function signEngine(
  ports: Ports,
  caller: Caller | undefined,
  material: Material,
  spec: SignSpec,
  parameter: MechanismParameter | undefined,
): SignEngine {
  switch (material.kind) {
    case "device":
      return deviceEngine(ports, need(caller), material.key, spec, parameter);
    case "secret":
      return secretEngine(ports, caller, material.key, spec, parameter);
    case "private":
      return sessionEngine(ports, caller, material.key, spec, parameter);
    case "public":
      throw failure("KEY_TYPE_INCONSISTENT");
  }
}
