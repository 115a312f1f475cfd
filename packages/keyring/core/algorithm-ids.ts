// Names and numbers of algorithms elsewhere. JOSE and COSE: the IANA registries (RFC 7518, 8037, 8812, 9053, 9459, 9864);
// PKCS#11 v3.2; TPM: TCG Algorithm Registry 1.34; PIV: SP 800-78-5 table 6; OIDs: RFC 3279, 5480, 8410, NIST CSOR.
import type { CipherScheme, MacScheme, SignScheme, WrapScheme } from "@casemate/devices/contract";

/** A scheme, or the one operation that families without schemes have. */
export type SchemeId = SignScheme | CipherScheme | MacScheme | WrapScheme | "agree" | "kem";

export interface Named {
  readonly name: string;
  readonly number: number;
}

export interface AlgorithmIds {
  /** JWK members and, per scheme, the `alg` or `enc` value. */
  readonly jose?: {
    readonly kty: string;
    readonly crv?: string;
    readonly algorithms: Partial<Record<SchemeId, string>>;
  };
  /** COSE_Key type and curve, and algorithm numbers per scheme. */
  readonly cose?: {
    readonly kty: number;
    readonly crv?: number;
    readonly algorithms: Partial<Record<SchemeId, number>>;
  };
  readonly pkcs11: {
    readonly keyType: Named;
    readonly generate: Named;
    /** CKA_PARAMETER_SET of the post-quantum families. */
    readonly parameterSet?: number;
    readonly mechanisms: Partial<Record<SchemeId, Named>>;
  };
  /** TPM_ALG_ID of the object type, TPM_ECC_CURVE where there is one, TPM_ALG_ID per scheme. */
  readonly tpm?: {
    readonly type: number;
    readonly curve?: number;
    readonly schemes: Partial<Record<SchemeId, number>>;
  };
  /** PIV algorithm identifier. */
  readonly piv?: number;
  /** OID of the SubjectPublicKeyInfo algorithm (or of the secret-key algorithm), its curve parameter, and signature OIDs. */
  readonly x509?: {
    readonly algorithm: string;
    readonly curve?: string;
    readonly signatures: Partial<Record<SchemeId, string>>;
  };
}

const named = (name: string, number: number): Named => ({ name, number });

const RSA_OIDS = "1.2.840.113549.1.1";
const NIST_OIDS = "2.16.840.1.101.3.4";

export function rsaIds(piv?: number): AlgorithmIds {
  return {
    jose: {
      kty: "RSA",
      algorithms: {
        "rsa-pkcs1-sha256": "RS256",
        "rsa-pkcs1-sha384": "RS384",
        "rsa-pkcs1-sha512": "RS512",
        "rsa-pss-sha256": "PS256",
        "rsa-pss-sha384": "PS384",
        "rsa-pss-sha512": "PS512",
        "rsa-oaep-sha256": "RSA-OAEP-256",
        "rsa-oaep-sha384": "RSA-OAEP-384",
        "rsa-oaep-sha512": "RSA-OAEP-512",
        "rsa-oaep-sha1": "RSA-OAEP",
      },
    },
    cose: {
      kty: 3,
      algorithms: {
        "rsa-pkcs1-sha256": -257,
        "rsa-pkcs1-sha384": -258,
        "rsa-pkcs1-sha512": -259,
        "rsa-pss-sha256": -37,
        "rsa-pss-sha384": -38,
        "rsa-pss-sha512": -39,
        "rsa-oaep-sha256": -41,
        "rsa-oaep-sha512": -42,
        "rsa-oaep-sha1": -40,
      },
    },
    pkcs11: {
      keyType: named("CKK_RSA", 0x00),
      generate: named("CKM_RSA_PKCS_KEY_PAIR_GEN", 0x00),
      mechanisms: {
        "rsa-pkcs1-sha256": named("CKM_SHA256_RSA_PKCS", 0x40),
        "rsa-pkcs1-sha384": named("CKM_SHA384_RSA_PKCS", 0x41),
        "rsa-pkcs1-sha512": named("CKM_SHA512_RSA_PKCS", 0x42),
        "rsa-pkcs1-raw": named("CKM_RSA_PKCS", 0x01),
        "rsa-raw": named("CKM_RSA_X_509", 0x03),
        "rsa-pss-sha256": named("CKM_SHA256_RSA_PKCS_PSS", 0x43),
        "rsa-pss-sha384": named("CKM_SHA384_RSA_PKCS_PSS", 0x44),
        "rsa-pss-sha512": named("CKM_SHA512_RSA_PKCS_PSS", 0x45),
        "rsa-oaep-sha256": named("CKM_RSA_PKCS_OAEP", 0x09),
        "rsa-oaep-sha384": named("CKM_RSA_PKCS_OAEP", 0x09),
        "rsa-oaep-sha512": named("CKM_RSA_PKCS_OAEP", 0x09),
        "rsa-oaep-sha1": named("CKM_RSA_PKCS_OAEP", 0x09),
        "rsa-pkcs1": named("CKM_RSA_PKCS", 0x01),
        "rsa-aes-kwp": named("CKM_RSA_AES_KEY_WRAP", 0x1054),
      },
    },
    tpm: {
      type: 0x0001,
      schemes: {
        "rsa-pkcs1-sha256": 0x0014,
        "rsa-pkcs1-sha384": 0x0014,
        "rsa-pkcs1-sha512": 0x0014,
        "rsa-pss-sha256": 0x0016,
        "rsa-pss-sha384": 0x0016,
        "rsa-pss-sha512": 0x0016,
        "rsa-oaep-sha256": 0x0017,
        "rsa-oaep-sha384": 0x0017,
        "rsa-oaep-sha512": 0x0017,
        "rsa-oaep-sha1": 0x0017,
        "rsa-pkcs1": 0x0015,
      },
    },
    ...(piv === undefined ? {} : { piv }),
    x509: {
      algorithm: `${RSA_OIDS}.1`,
      signatures: {
        "rsa-pkcs1-sha256": `${RSA_OIDS}.11`,
        "rsa-pkcs1-sha384": `${RSA_OIDS}.12`,
        "rsa-pkcs1-sha512": `${RSA_OIDS}.13`,
        "rsa-pss-sha256": `${RSA_OIDS}.10`,
        "rsa-pss-sha384": `${RSA_OIDS}.10`,
        "rsa-pss-sha512": `${RSA_OIDS}.10`,
      },
    },
  };
}

interface Curve {
  readonly jose: string;
  readonly cose: number;
  readonly oid: string;
  /** The one scheme that JOSE couples with the curve, and its names. */
  readonly scheme: SignScheme;
  readonly alg: string;
  readonly number: number;
  readonly tpm?: number;
  readonly piv?: number;
}

export function ecIds(curve: Curve): AlgorithmIds {
  return {
    jose: { kty: "EC", crv: curve.jose, algorithms: { [curve.scheme]: curve.alg, agree: "ECDH-ES" } },
    cose: { kty: 2, crv: curve.cose, algorithms: { [curve.scheme]: curve.number, agree: -25 } },
    pkcs11: {
      keyType: named("CKK_EC", 0x03),
      generate: named("CKM_EC_KEY_PAIR_GEN", 0x1040),
      mechanisms: {
        "ecdsa-sha256": named("CKM_ECDSA_SHA256", 0x1044),
        "ecdsa-sha384": named("CKM_ECDSA_SHA384", 0x1045),
        "ecdsa-sha512": named("CKM_ECDSA_SHA512", 0x1046),
        "ecdsa-raw": named("CKM_ECDSA", 0x1041),
        agree: named("CKM_ECDH1_DERIVE", 0x1050),
      },
    },
    ...(curve.tpm === undefined
      ? {}
      : {
          tpm: {
            type: 0x0023,
            curve: curve.tpm,
            schemes: { "ecdsa-sha256": 0x0018, "ecdsa-sha384": 0x0018, "ecdsa-sha512": 0x0018, agree: 0x0019 },
          },
        }),
    ...(curve.piv === undefined ? {} : { piv: curve.piv }),
    x509: {
      algorithm: "1.2.840.10045.2.1",
      curve: curve.oid,
      signatures: {
        "ecdsa-sha256": "1.2.840.10045.4.3.2",
        "ecdsa-sha384": "1.2.840.10045.4.3.3",
        "ecdsa-sha512": "1.2.840.10045.4.3.4",
      },
    },
  };
}

export function edwardsIds(crv: "Ed25519" | "Ed448"): AlgorithmIds {
  const [coseCurve, coseAlgorithm, oid] = crv === "Ed25519" ? [6, -19, "1.3.101.112"] : [7, -53, "1.3.101.113"];
  return {
    jose: { kty: "OKP", crv, algorithms: { pure: crv } },
    cose: { kty: 1, crv: coseCurve, algorithms: { pure: coseAlgorithm } },
    pkcs11: {
      keyType: named("CKK_EC_EDWARDS", 0x40),
      generate: named("CKM_EC_EDWARDS_KEY_PAIR_GEN", 0x1055),
      // The prehash is a flag in the parameters of the same mechanism.
      mechanisms: {
        pure: named("CKM_EDDSA", 0x1057),
        "prehash-sha512": named("CKM_EDDSA", 0x1057),
        "prehash-shake256": named("CKM_EDDSA", 0x1057),
      },
    },
    x509: { algorithm: oid, signatures: { pure: oid } },
  };
}

export function montgomeryIds(crv: "X25519" | "X448"): AlgorithmIds {
  const [coseCurve, oid] = crv === "X25519" ? [4, "1.3.101.110"] : [5, "1.3.101.111"];
  return {
    jose: { kty: "OKP", crv, algorithms: { agree: "ECDH-ES" } },
    cose: { kty: 1, crv: coseCurve, algorithms: { agree: -25 } },
    pkcs11: {
      keyType: named("CKK_EC_MONTGOMERY", 0x41),
      generate: named("CKM_EC_MONTGOMERY_KEY_PAIR_GEN", 0x1056),
      mechanisms: { agree: named("CKM_ECDH1_DERIVE", 0x1050) },
    },
    x509: { algorithm: oid, signatures: {} },
  };
}

interface AesNumbers {
  readonly gcm: number;
  readonly kw: number;
  readonly cbc: number;
  readonly ctr: number;
  readonly piv: number;
  /** Arc of the key size under the NIST AES OIDs. */
  readonly arc: number;
}

export function aesIds(bits: 128 | 192 | 256, numbers: AesNumbers): AlgorithmIds {
  return {
    jose: { kty: "oct", algorithms: { "aes-gcm": `A${bits}GCM`, "aes-kw": `A${bits}KW` } },
    cose: {
      kty: 4,
      algorithms: { "aes-gcm": numbers.gcm, "aes-kw": numbers.kw, "aes-cbc": numbers.cbc, "aes-ctr": numbers.ctr },
    },
    pkcs11: {
      keyType: named("CKK_AES", 0x1f),
      generate: named("CKM_AES_KEY_GEN", 0x1080),
      mechanisms: {
        "aes-gcm": named("CKM_AES_GCM", 0x1087),
        "aes-cbc": named("CKM_AES_CBC_PAD", 0x1085),
        "aes-ctr": named("CKM_AES_CTR", 0x1086),
        "aes-ecb": named("CKM_AES_ECB", 0x1081),
        "aes-cmac": named("CKM_AES_CMAC", 0x108a),
        "aes-kw": named("CKM_AES_KEY_WRAP", 0x2109),
        "aes-kwp": named("CKM_AES_KEY_WRAP_KWP", 0x210b),
      },
    },
    tpm: { type: 0x0025, schemes: { "aes-cbc": 0x0042, "aes-ctr": 0x0040, "aes-ecb": 0x0044, "aes-cmac": 0x003f } },
    piv: numbers.piv,
    x509: { algorithm: `${NIST_OIDS}.1.${numbers.arc + 6}`, signatures: {} },
  };
}

export function hmacIds(
  scheme: MacScheme,
  bits: 256 | 384 | 512,
  cose: number,
  mechanism: number,
  oid: number,
): AlgorithmIds {
  return {
    jose: { kty: "oct", algorithms: { [scheme]: `HS${bits}` } },
    cose: { kty: 4, algorithms: { [scheme]: cose } },
    pkcs11: {
      keyType: named("CKK_GENERIC_SECRET", 0x10),
      generate: named("CKM_GENERIC_SECRET_KEY_GEN", 0x350),
      mechanisms: { [scheme]: named(`CKM_SHA${bits}_HMAC`, mechanism) },
    },
    tpm: { type: 0x0008, schemes: { [scheme]: 0x0005 } },
    x509: { algorithm: `1.2.840.113549.2.${oid}`, signatures: {} },
  };
}

export function mlDsaIds(set: 44 | 65 | 87, index: 1 | 2 | 3): AlgorithmIds {
  const oid = `${NIST_OIDS}.3.${16 + index}`;
  return {
    jose: { kty: "AKP", algorithms: { pure: `ML-DSA-${set}` } },
    cose: { kty: 7, algorithms: { pure: -47 - index } },
    pkcs11: {
      keyType: named("CKK_ML_DSA", 0x4a),
      generate: named("CKM_ML_DSA_KEY_PAIR_GEN", 0x1c),
      parameterSet: index,
      mechanisms: {
        pure: named("CKM_ML_DSA", 0x1d),
        "prehash-sha256": named("CKM_HASH_ML_DSA_SHA256", 0x24),
        "prehash-sha384": named("CKM_HASH_ML_DSA_SHA384", 0x25),
        "prehash-sha512": named("CKM_HASH_ML_DSA_SHA512", 0x26),
      },
    },
    x509: { algorithm: oid, signatures: { pure: oid } },
  };
}

export function mlKemIds(index: 1 | 2 | 3): AlgorithmIds {
  return {
    pkcs11: {
      keyType: named("CKK_ML_KEM", 0x49),
      generate: named("CKM_ML_KEM_KEY_PAIR_GEN", 0x0f),
      parameterSet: index,
      mechanisms: { kem: named("CKM_ML_KEM", 0x17) },
    },
    x509: { algorithm: `${NIST_OIDS}.4.${index}`, signatures: {} },
  };
}

/** `arc` under the NIST signature OIDs; `parameterSet` is CKP_SLH_DSA_*. */
export function slhDsaIds(arc: number, parameterSet: number): AlgorithmIds {
  const oid = `${NIST_OIDS}.3.${arc}`;
  return {
    pkcs11: {
      keyType: named("CKK_SLH_DSA", 0x4b),
      generate: named("CKM_SLH_DSA_KEY_PAIR_GEN", 0x2d),
      parameterSet,
      mechanisms: {
        pure: named("CKM_SLH_DSA", 0x2e),
        "prehash-sha256": named("CKM_HASH_SLH_DSA_SHA256", 0x37),
        "prehash-sha384": named("CKM_HASH_SLH_DSA_SHA384", 0x38),
        "prehash-sha512": named("CKM_HASH_SLH_DSA_SHA512", 0x39),
        "prehash-shake256": named("CKM_HASH_SLH_DSA_SHAKE256", 0x3f),
      },
    },
    x509: { algorithm: oid, signatures: { pure: oid } },
  };
}
