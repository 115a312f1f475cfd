// Implements: PKCS #11 v3.0 §5.15 and Current Mechanisms, verification of one input with any key.
import { timingSafeEqual, verify as nodeVerify, type KeyObject } from "node:crypto";
import { equalBytes } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { nativeCalls } from "@casemate/foundation/ffi";
import type { InputKind, SignScheme } from "@casemate/devices/contract";
import type { Caller } from "@casemate/keyring/core";
import type { MechanismParameter } from "@casemate/protocols/p11-rpc";
import { only, type Maybe, type Ports } from "./context.ts";
import { curveOfKey, signatureToDer } from "./curves.ts";
import { HASH_BYTES, type Hash, type SignSpec } from "./mechanisms.ts";
import type { DeviceKey, Material } from "./object.ts";
import { usePublicKey } from "./public-key-use.ts";
import { checkPss, digestInfo, leftPad, modulusBits, publicRaw, recoverPkcs1 } from "./rsa.ts";
import { ownPss, pssParameters, sessionMac, signEngine } from "./sign-engine.ts";
import { failure } from "./status.ts";

export interface VerifyEngine {
  readonly hash?: Hash;
  /** Bytes of a signature. */
  readonly length: number;
  /** Of two numbers, which may both be written shorter, each with the same number of bytes (§2.3.1). */
  readonly halves?: true;
  /** @throws CKR_DATA_LEN_RANGE for an input that no signature can be of. */
  check?(input: Uint8Array): void;
  verify(input: Uint8Array, signature: Uint8Array): Maybe<boolean>;
}

interface KeyringCheck {
  readonly scheme: SignScheme;
  readonly kind: InputKind;
  /** What the scheme takes for what the mechanism took. */
  readonly prepare?: (input: Uint8Array) => Uint8Array;
}

/** Verification that the keyring does itself, so that policy and audit see it; undefined when it has no such scheme. */
function keyringCheck(
  spec: SignSpec,
  parameter: MechanismParameter | undefined,
  bits: number,
): KeyringCheck | undefined {
  switch (spec.kind) {
    case "rsa-pkcs1": {
      const { hash } = spec;
      if (hash === "sha256" || hash === "sha384" || hash === "sha512") {
        return { scheme: `rsa-pkcs1-${hash}`, kind: "digest" };
      }
      const prepare = hash === undefined ? {} : { prepare: (input: Uint8Array) => digestInfo(hash, input) };
      return { scheme: "rsa-pkcs1-raw", kind: "message", ...prepare };
    }
    case "rsa-x509":
      return { scheme: "rsa-raw", kind: "message", prepare: (input) => leftPad(input, Math.ceil(bits / 8)) };
    case "rsa-pss": {
      const scheme = ownPss(pssParameters(parameter, spec.hash, bits));
      return scheme === undefined ? undefined : { scheme, kind: "digest" };
    }
    case "ecdsa":
      // Only the leftmost bits count (FIPS 186-5 §6.4.1).
      return { scheme: "ecdsa-raw", kind: "digest", prepare: (input) => input.subarray(0, 66) };
    case "eddsa":
      return { scheme: "pure", kind: "message" };
    default:
      return undefined;
  }
}

function publicEngine(key: KeyObject, spec: SignSpec, parameter: MechanismParameter | undefined): VerifyEngine {
  const bits = modulusBits(key);
  const bytes = Math.ceil(bits / 8);
  switch (spec.kind) {
    case "rsa-pkcs1": {
      const { hash } = spec;
      return {
        ...(hash === undefined ? {} : { hash }),
        length: bytes,
        check(input) {
          if (hash === undefined && input.length > bytes - 11) throw failure("DATA_LEN_RANGE");
        },
        verify(input, signature) {
          const held = recoverPkcs1(key, signature);
          return held !== undefined && equalBytes(held, hash === undefined ? input : digestInfo(hash, input));
        },
      };
    }
    case "rsa-x509":
      return {
        length: bytes,
        verify(input, signature) {
          const padded = leftPad(input, bytes);
          try {
            return equalBytes(publicRaw(key, signature), padded);
          } catch {
            return false;
          }
        },
      };
    case "rsa-pss": {
      const pss = pssParameters(parameter, spec.hash, bits);
      return {
        ...(spec.hash === undefined ? {} : { hash: spec.hash }),
        length: bytes,
        check(input) {
          if (input.length !== HASH_BYTES[pss.hash]) throw failure("DATA_LEN_RANGE");
        },
        verify(input, signature) {
          try {
            return checkPss(input, publicRaw(key, signature), pss, bits);
          } catch {
            return false;
          }
        },
      };
    }
    case "ecdsa": {
      const half = curveOfKey(key)?.bytes ?? 32;
      const calls = nativeCalls().ecDigest;
      if (!calls.available) throw failure("MECHANISM_INVALID", calls.reason);
      return {
        ...(spec.hash === undefined ? {} : { hash: spec.hash }),
        length: 2 * half,
        halves: true,
        verify(input, signature) {
          if (input.length === 0) throw failure("DATA_LEN_RANGE");
          using verifier = calls.loadPublic(key.export({ format: "der", type: "spki" }));
          return verifier.verify(input, signatureToDer(signature));
        },
      };
    }
    case "eddsa":
      return {
        length: key.asymmetricKeyType === "ed448" ? 114 : 64,
        verify: (input, signature) => nodeVerify(null, input, key, signature),
      };
    default:
      throw failure("KEY_TYPE_INCONSISTENT");
  }
}

/** Verification by the keyring: the same policy and audit as over REST. */
function keyringEngine(
  ports: Ports,
  caller: Caller,
  key: DeviceKey,
  local: VerifyEngine,
  { scheme, kind, prepare }: KeyringCheck,
): VerifyEngine {
  return {
    ...local,
    async verify(input, given) {
      const signature = scheme === "ecdsa-raw" ? signatureToDer(given) : given;
      const items = [{ input: prepare === undefined ? input : prepare(input), signature }];
      try {
        return only(
          (await ports.keyring.verify(caller, key.name, { scheme, kind, version: key.version, items })).results,
        );
      } catch (error) {
        // This device has no such scheme, and the public value is all that it takes.
        if (isCasemateError(error) && error.code === "NOT_SUPPORTED") return local.verify(input, given);
        throw error;
      }
    },
  };
}

/** @throws CKR_MECHANISM_PARAM_INVALID, CKR_KEY_TYPE_INCONSISTENT. */
export function verifyEngine(
  ports: Ports,
  caller: Caller | undefined,
  material: Material,
  spec: SignSpec,
  parameter: MechanismParameter | undefined,
): VerifyEngine {
  if (material.kind === "public") {
    const local = publicEngine(material.key, spec, parameter);
    const who = caller ?? ports.service;
    const here: VerifyEngine = {
      ...local,
      verify: (input, signature) =>
        usePublicKey(ports, who, material, "verify", { mechanism: spec.kind }, () => local.verify(input, signature)),
    };
    if (who === undefined || material.device === undefined) return here;
    const check = keyringCheck(spec, parameter, modulusBits(material.key));
    return check === undefined ? here : keyringEngine(ports, who, material.device, here, check);
  }
  if (material.kind === "private") throw failure("KEY_TYPE_INCONSISTENT");
  if (material.kind === "secret") {
    const { key } = material;
    const { algorithm, length } = sessionMac(key, spec, parameter);
    const details = { operation: "verify mac", mechanism: algorithm };
    return {
      length,
      async verify(input, mac) {
        const request = { id: key.id, algorithm, input, mac };
        return (await ports.sessionKeys.use(caller, key, details, "checkMac", request)).valid;
      },
    };
  }
  const signer = signEngine(ports, caller, material, spec, parameter);
  const compare = (expected: Uint8Array, signature: Uint8Array): boolean =>
    expected.length === signature.length && timingSafeEqual(expected, signature);
  return {
    length: signer.length,
    verify(input, signature) {
      const expected = signer.sign(input);
      return expected instanceof Promise
        ? expected.then((mac) => compare(mac, signature))
        : compare(expected, signature);
    },
  };
}
