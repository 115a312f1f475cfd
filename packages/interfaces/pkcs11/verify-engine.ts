// Implements: PKCS #11 v3.0 §5.15 and Current Mechanisms, verification of one input with any key.
import { timingSafeEqual, verify as nodeVerify, type KeyObject } from "node:crypto";
import { equalBytes } from "@casemate/foundation/bytes";
import { nativeCalls } from "@casemate/foundation/ffi";
import type { InputKind, SignScheme } from "@casemate/devices/contract";
import type { Caller } from "@casemate/keyring/core";
import type { MechanismParameter } from "@casemate/protocols/p11-rpc";
import { only, type Maybe, type Ports } from "./context.ts";
import { curveOfKey, signatureToDer } from "./curves.ts";
import { HASH_BYTES, type Hash, type SignSpec } from "./mechanisms.ts";
import type { DeviceKey, Material } from "./object.ts";
import { checkPss, digestInfo, leftPad, modulusBits, publicRaw, recoverPkcs1 } from "./rsa.ts";
import { pssParameters, signEngine } from "./sign-engine.ts";
import { failure } from "./status.ts";

export interface VerifyEngine {
  readonly hash?: Hash;
  readonly length: number;
  verify(input: Uint8Array, signature: Uint8Array): Maybe<boolean>;
}

/** Verification that the keyring does itself, so that policy and audit see it; undefined when it has no such scheme. */
function schemeOf(spec: SignSpec): { readonly scheme: SignScheme; readonly kind: InputKind } | undefined {
  switch (spec.kind) {
    case "rsa-pkcs1":
      return spec.hash === "sha256" || spec.hash === "sha384" || spec.hash === "sha512"
        ? { scheme: `rsa-pkcs1-${spec.hash}`, kind: "digest" }
        : undefined;
    case "ecdsa":
      return { scheme: "ecdsa-raw", kind: "digest" };
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
        verify(input, signature) {
          if (hash === undefined && input.length > bytes - 11) throw failure("DATA_LEN_RANGE");
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
      const pss = pssParameters(parameter, spec.hash);
      return {
        ...(spec.hash === undefined ? {} : { hash: spec.hash }),
        length: bytes,
        verify(input, signature) {
          if (input.length !== HASH_BYTES[pss.hash]) throw failure("DATA_LEN_RANGE");
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
  spec: SignSpec,
): VerifyEngine {
  const own = schemeOf(spec);
  if (own === undefined) return local;
  return {
    ...local,
    async verify(input, given) {
      const signature = spec.kind === "ecdsa" ? signatureToDer(given) : given;
      const { results } = await ports.keyring.verify(caller, key.name, {
        ...own,
        version: key.version,
        items: [{ input: spec.kind === "ecdsa" ? input.subarray(0, 66) : input, signature }],
      });
      return only(results);
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
    if (material.device === undefined || caller === undefined) return local;
    return keyringEngine(ports, caller, material.device, local, spec);
  }
  if (material.kind === "private") throw failure("KEY_TYPE_INCONSISTENT");
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
