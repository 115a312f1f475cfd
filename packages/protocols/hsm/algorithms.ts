/** Key algorithms, schemes and usages of the virtual HSM with their wire numbers: data that driver and device share. */
import { enumOf, flags, u16, u8, type Infer } from "@casemate/foundation/codec";

export const SIGN_SCHEME_CODES = {
  "rsa-pkcs1-sha256": 1,
  "rsa-pkcs1-sha384": 2,
  "rsa-pkcs1-sha512": 3,
  "rsa-pkcs1-raw": 4,
  "rsa-pss-sha256": 5,
  "rsa-pss-sha384": 6,
  "rsa-pss-sha512": 7,
  "rsa-raw": 8,
  "ecdsa-sha256": 9,
  "ecdsa-sha384": 10,
  "ecdsa-sha512": 11,
  "ecdsa-raw": 12,
  pure: 13,
  "prehash-sha256": 14,
  "prehash-sha384": 15,
  "prehash-sha512": 16,
  "prehash-shake256": 17,
} as const;

export const CIPHER_SCHEME_CODES = {
  "aes-gcm": 1,
  "aes-cbc": 2,
  "aes-ctr": 3,
  "aes-ecb": 4,
  "rsa-oaep-sha256": 5,
  "rsa-oaep-sha384": 6,
  "rsa-oaep-sha512": 7,
  "rsa-pkcs1": 8,
  "rsa-oaep-sha1": 9,
} as const;

export const MAC_SCHEME_CODES = { "hmac-sha256": 1, "hmac-sha384": 2, "hmac-sha512": 3, "aes-cmac": 4 } as const;

export const WRAP_SCHEME_CODES = { "aes-kw": 1, "aes-kwp": 2, "rsa-aes-kwp": 3 } as const;

export const USAGE_BITS = { sign: 0, encrypt: 1, mac: 2, agree: 3, kem: 4, wrap: 5 } as const;

export type SignScheme = keyof typeof SIGN_SCHEME_CODES;
export type CipherScheme = keyof typeof CIPHER_SCHEME_CODES;
export type MacScheme = keyof typeof MAC_SCHEME_CODES;
export type WrapScheme = keyof typeof WRAP_SCHEME_CODES;
export type Usage = keyof typeof USAGE_BITS;
export type Family = "rsa" | "ec" | "edwards" | "montgomery" | "aes" | "hmac" | "ml-dsa" | "ml-kem" | "slh-dsa";

export interface AlgorithmRow {
  /** Number on the wire and in key references: never reused. */
  readonly code: number;
  readonly family: Family;
  /** Modulus bits, curve order bits, secret bits or the parameter set's number. */
  readonly size: number;
  readonly usages: readonly Usage[];
  readonly sign: readonly SignScheme[];
  readonly cipher: readonly CipherScheme[];
  readonly mac: readonly MacScheme[];
  readonly wrap: readonly WrapScheme[];
  /** One signature costs more than a millisecond: neither batched by the driver nor run between fast operations. */
  readonly slow: boolean;
}

const RSA_SIGN = [
  "rsa-pkcs1-sha256",
  "rsa-pkcs1-sha384",
  "rsa-pkcs1-sha512",
  "rsa-pkcs1-raw",
  "rsa-pss-sha256",
  "rsa-pss-sha384",
  "rsa-pss-sha512",
  "rsa-raw",
] as const;
const RSA_CIPHER = ["rsa-oaep-sha256", "rsa-oaep-sha384", "rsa-oaep-sha512", "rsa-oaep-sha1", "rsa-pkcs1"] as const;
const ECDSA = ["ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512", "ecdsa-raw"] as const;

type Uses = Partial<Pick<AlgorithmRow, "usages" | "sign" | "cipher" | "mac" | "wrap" | "slow">>;

const row = (code: number, family: Family, size: number, uses: Uses): AlgorithmRow => ({
  code,
  family,
  size,
  usages: [],
  sign: [],
  cipher: [],
  mac: [],
  wrap: [],
  slow: false,
  ...uses,
});
const rsa = (code: number, size: number): AlgorithmRow =>
  row(code, "rsa", size, {
    usages: ["sign", "encrypt", "wrap"],
    sign: RSA_SIGN,
    cipher: RSA_CIPHER,
    wrap: ["rsa-aes-kwp"],
    slow: size > 2048,
  });
const ec = (code: number, size: number): AlgorithmRow =>
  row(code, "ec", size, { usages: ["sign", "agree"], sign: ECDSA });
const edwards = (code: number, size: number, prehash: SignScheme): AlgorithmRow =>
  row(code, "edwards", size, { usages: ["sign"], sign: ["pure", prehash] });
const montgomery = (code: number, size: number): AlgorithmRow => row(code, "montgomery", size, { usages: ["agree"] });
const aes = (code: number, size: number): AlgorithmRow =>
  row(code, "aes", size, {
    usages: ["encrypt", "mac", "wrap"],
    cipher: ["aes-gcm", "aes-cbc", "aes-ctr", "aes-ecb"],
    mac: ["aes-cmac"],
    wrap: ["aes-kw", "aes-kwp"],
  });
const hmac = (code: number, size: number, scheme: MacScheme): AlgorithmRow =>
  row(code, "hmac", size, { usages: ["mac"], mac: [scheme] });
/** A prehash must be as hard to collide as the set is to forge (FIPS 204 §5.4, FIPS 205 §10.2.2): twice the strength in bits. */
const prehashesOf = (strength: number): readonly SignScheme[] =>
  strength <= 128
    ? ["prehash-sha256", "prehash-sha512"]
    : strength <= 192
      ? ["prehash-sha384", "prehash-sha512"]
      : ["prehash-sha512"];
const mlDsa = (code: number, size: number, strength: number): AlgorithmRow =>
  row(code, "ml-dsa", size, { usages: ["sign"], sign: ["pure", ...prehashesOf(strength)] });
const mlKem = (code: number, size: number): AlgorithmRow => row(code, "ml-kem", size, { usages: ["kem"] });
const slhDsa = (code: number, size: number): AlgorithmRow =>
  row(code, "slh-dsa", size, { usages: ["sign"], sign: ["pure", ...prehashesOf(size)], slow: true });
const slhDsaShake = (code: number, size: number): AlgorithmRow => {
  const made = slhDsa(code, size);
  return { ...made, sign: [...made.sign, "prehash-shake256"] };
};

export const ALGORITHMS = {
  "rsa-2048": rsa(1, 2048),
  "rsa-3072": rsa(2, 3072),
  "rsa-4096": rsa(3, 4096),
  "ec-p256": ec(4, 256),
  "ec-p384": ec(5, 384),
  "ec-p521": ec(6, 521),
  "ec-secp256k1": ec(7, 256),
  ed25519: edwards(8, 255, "prehash-sha512"),
  ed448: edwards(9, 448, "prehash-shake256"),
  x25519: montgomery(10, 255),
  x448: montgomery(11, 448),
  "aes-128": aes(12, 128),
  "aes-192": aes(13, 192),
  "aes-256": aes(14, 256),
  "hmac-sha256": hmac(15, 256, "hmac-sha256"),
  "hmac-sha384": hmac(16, 384, "hmac-sha384"),
  "hmac-sha512": hmac(17, 512, "hmac-sha512"),
  "ml-dsa-44": mlDsa(18, 44, 128),
  "ml-dsa-65": mlDsa(19, 65, 192),
  "ml-dsa-87": mlDsa(20, 87, 256),
  "ml-kem-512": mlKem(21, 512),
  "ml-kem-768": mlKem(22, 768),
  "ml-kem-1024": mlKem(23, 1024),
  "slh-dsa-sha2-128s": slhDsa(24, 128),
  "slh-dsa-sha2-128f": slhDsa(25, 128),
  "slh-dsa-sha2-192s": slhDsa(26, 192),
  "slh-dsa-sha2-192f": slhDsa(27, 192),
  "slh-dsa-sha2-256s": slhDsa(28, 256),
  "slh-dsa-sha2-256f": slhDsa(29, 256),
  "slh-dsa-shake-128s": slhDsaShake(30, 128),
  "slh-dsa-shake-128f": slhDsaShake(31, 128),
  "slh-dsa-shake-192s": slhDsaShake(32, 192),
  "slh-dsa-shake-192f": slhDsaShake(33, 192),
  "slh-dsa-shake-256s": slhDsaShake(34, 256),
  "slh-dsa-shake-256f": slhDsaShake(35, 256),
} as const satisfies Record<string, AlgorithmRow>;

export type KeyAlgorithm = keyof typeof ALGORITHMS;

export const KEY_ALGORITHM_NAMES = Object.keys(ALGORITHMS) as readonly KeyAlgorithm[];

const codes = Object.fromEntries(KEY_ALGORITHM_NAMES.map((name) => [name, ALGORITHMS[name].code])) as Record<
  KeyAlgorithm,
  number
>;

export const algorithmCodec = enumOf("key algorithm", u8, codes);
export const signSchemeCodec = enumOf("signature scheme", u8, SIGN_SCHEME_CODES);
export const cipherSchemeCodec = enumOf("cipher scheme", u8, CIPHER_SCHEME_CODES);
export const macSchemeCodec = enumOf("MAC scheme", u8, MAC_SCHEME_CODES);
export const wrapSchemeCodec = enumOf("wrap scheme", u8, WRAP_SCHEME_CODES);
export const inputKindCodec = enumOf("input kind", u8, { message: 1, digest: 2 });
export const usagesCodec = flags("usages", u16, USAGE_BITS);

export type UsageFlags = Infer<typeof usagesCodec>;

export function usageFlags(usages: readonly Usage[]): UsageFlags {
  const set = { sign: false, encrypt: false, mac: false, agree: false, kem: false, wrap: false };
  for (const usage of usages) set[usage] = true;
  return set;
}

export function usageNames(set: UsageFlags): Usage[] {
  return (Object.keys(USAGE_BITS) as Usage[]).filter((usage) => set[usage]);
}
