import {
  KEY_ALGORITHMS,
  type CipherScheme,
  type KeyAlgorithm,
  type MacScheme,
  type SignScheme,
  type Usage,
  type WrapScheme,
} from "@casemate/devices/contract";

import {
  aesIds,
  ecIds,
  edwardsIds,
  hmacIds,
  mlDsaIds,
  mlKemIds,
  montgomeryIds,
  rsaIds,
  slhDsaIds,
  type AlgorithmIds,
} from "./algorithm-ids.ts";

export type Family = "rsa" | "ec" | "edwards" | "montgomery" | "aes" | "hmac" | "ml-dsa" | "ml-kem" | "slh-dsa";

/** `approved` for new use, `legacy` for processing what exists only, `not-approved` outside the NIST set. */
export type Approval = "approved" | "legacy" | "not-approved";

export interface AlgorithmRow {
  readonly family: Family;
  /** Modulus, field or key size in bits; the parameter set's number for the post-quantum families. */
  readonly bits: number;
  /** Classical security strength in bits (SP 800-57 Part 1 Rev. 5 table 2; FIPS 203–205 category 1/2, 3, 5 as 128, 192, 256). */
  readonly strength: number;
  readonly asymmetric: boolean;
  /** All that a key of this kind can be made for; the first is what it is made for unless said otherwise. */
  readonly usages: readonly Usage[];
  readonly sign: readonly SignScheme[];
  readonly cipher: readonly CipherScheme[];
  readonly mac: readonly MacScheme[];
  readonly wrap: readonly WrapScheme[];
  readonly approval: Approval;
  /** The document that approves it, or why it is not. */
  readonly basis: string;
  /** What the algorithm is called elsewhere. An absent column means that it has no name there. */
  readonly ids: AlgorithmIds;
}

type Shape = Omit<AlgorithmRow, "bits" | "strength" | "basis" | "ids">;

const none = { sign: [], cipher: [], mac: [], wrap: [] } as const;

const rsa: Shape = {
  ...none,
  family: "rsa",
  asymmetric: true,
  usages: ["sign", "encrypt", "wrap"],
  sign: [
    "rsa-pss-sha256",
    "rsa-pss-sha384",
    "rsa-pss-sha512",
    "rsa-pkcs1-sha256",
    "rsa-pkcs1-sha384",
    "rsa-pkcs1-sha512",
    "rsa-pkcs1-raw",
    "rsa-raw",
  ],
  cipher: ["rsa-oaep-sha256", "rsa-oaep-sha384", "rsa-oaep-sha512", "rsa-oaep-sha1", "rsa-pkcs1"],
  wrap: ["rsa-aes-kwp"],
  approval: "approved",
};
const ec = (first: SignScheme): Shape => ({
  ...none,
  family: "ec",
  asymmetric: true,
  usages: ["sign", "agree"],
  sign: [...new Set<SignScheme>([first, "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512", "ecdsa-raw"])],
  approval: "approved",
});
const signer = (family: Family, ...prehash: readonly SignScheme[]): Shape => ({
  ...none,
  family,
  asymmetric: true,
  usages: ["sign"],
  sign: ["pure", ...prehash],
  approval: "approved",
});
/** Prehashes that are as hard to collide as signatures of this strength are to forge (FIPS 204 §5.4, FIPS 205 §10.2.2). */
const PREHASHES = {
  128: ["prehash-sha256", "prehash-sha512"],
  192: ["prehash-sha384", "prehash-sha512"],
  256: ["prehash-sha512"],
} as const satisfies Readonly<Record<number, readonly SignScheme[]>>;
const mlDsa = (strength: keyof typeof PREHASHES): Shape => signer("ml-dsa", ...PREHASHES[strength]);
const slhDsa = (strength: keyof typeof PREHASHES): Shape => signer("slh-dsa", ...PREHASHES[strength]);
const slhDsaShake = (strength: keyof typeof PREHASHES): Shape =>
  signer("slh-dsa", ...PREHASHES[strength], "prehash-shake256");
const montgomery: Shape = {
  ...none,
  family: "montgomery",
  asymmetric: true,
  usages: ["agree"],
  approval: "not-approved",
};
const kem: Shape = { ...none, family: "ml-kem", asymmetric: true, usages: ["kem"], approval: "approved" };
const aes: Shape = {
  ...none,
  family: "aes",
  asymmetric: false,
  usages: ["encrypt", "wrap", "mac"],
  cipher: ["aes-gcm", "aes-cbc", "aes-ctr", "aes-ecb"],
  mac: ["aes-cmac"],
  wrap: ["aes-kwp", "aes-kw"],
  approval: "approved",
};
const hmac = (scheme: MacScheme): Shape => ({
  ...none,
  family: "hmac",
  asymmetric: false,
  usages: ["mac"],
  mac: [scheme],
  approval: "approved",
});

const FIPS_186 = "FIPS 186-5";
const SP_186 = "FIPS 186-5, SP 800-186";
const FIPS_197 = "FIPS 197, SP 800-38A/B/D/F";
const FIPS_198 = "FIPS 198-1";

/** One row per algorithm. Interfaces translate by reading columns, never by switching on names. */
export const ALGORITHMS: Readonly<Record<KeyAlgorithm, AlgorithmRow>> = {
  "rsa-2048": { ...rsa, bits: 2048, strength: 112, basis: FIPS_186, ids: rsaIds(0x07) },
  "rsa-3072": { ...rsa, bits: 3072, strength: 128, basis: FIPS_186, ids: rsaIds(0x05) },
  "rsa-4096": { ...rsa, bits: 4096, strength: 152, basis: FIPS_186, ids: rsaIds() },
  "ec-p256": {
    ...ec("ecdsa-sha256"),
    bits: 256,
    strength: 128,
    basis: SP_186,
    ids: ecIds({
      jose: "P-256",
      cose: 1,
      oid: "1.2.840.10045.3.1.7",
      scheme: "ecdsa-sha256",
      alg: "ES256",
      number: -7,
      tpm: 0x0003,
      piv: 0x11,
    }),
  },
  "ec-p384": {
    ...ec("ecdsa-sha384"),
    bits: 384,
    strength: 192,
    basis: SP_186,
    ids: ecIds({
      jose: "P-384",
      cose: 2,
      oid: "1.3.132.0.34",
      scheme: "ecdsa-sha384",
      alg: "ES384",
      number: -35,
      tpm: 0x0004,
      piv: 0x14,
    }),
  },
  "ec-p521": {
    ...ec("ecdsa-sha512"),
    bits: 521,
    strength: 256,
    basis: SP_186,
    ids: ecIds({
      jose: "P-521",
      cose: 3,
      oid: "1.3.132.0.35",
      scheme: "ecdsa-sha512",
      alg: "ES512",
      number: -36,
      tpm: 0x0005,
    }),
  },
  "ec-secp256k1": {
    ...ec("ecdsa-sha256"),
    bits: 256,
    strength: 128,
    approval: "not-approved",
    basis: "SP 800-186 allows secp256k1 for blockchains alone",
    ids: ecIds({ jose: "secp256k1", cose: 8, oid: "1.3.132.0.10", scheme: "ecdsa-sha256", alg: "ES256K", number: -47 }),
  },
  ed25519: {
    ...signer("edwards", "prehash-sha512"),
    bits: 255,
    strength: 128,
    basis: SP_186,
    ids: edwardsIds("Ed25519"),
  },
  ed448: {
    ...signer("edwards", "prehash-shake256"),
    bits: 448,
    strength: 224,
    basis: SP_186,
    ids: edwardsIds("Ed448"),
  },
  x25519: {
    ...montgomery,
    bits: 255,
    strength: 128,
    basis: "SP 800-56A Rev. 3 does not list Curve25519 key agreement",
    ids: montgomeryIds("X25519"),
  },
  x448: {
    ...montgomery,
    bits: 448,
    strength: 224,
    basis: "SP 800-56A Rev. 3 does not list Curve448 key agreement",
    ids: montgomeryIds("X448"),
  },
  "aes-128": {
    ...aes,
    bits: 128,
    strength: 128,
    basis: FIPS_197,
    ids: aesIds(128, { gcm: 1, kw: -3, cbc: -65531, ctr: -65534, piv: 0x08, arc: 0 }),
  },
  "aes-192": {
    ...aes,
    bits: 192,
    strength: 192,
    basis: FIPS_197,
    ids: aesIds(192, { gcm: 2, kw: -4, cbc: -65530, ctr: -65533, piv: 0x0a, arc: 20 }),
  },
  "aes-256": {
    ...aes,
    bits: 256,
    strength: 256,
    basis: FIPS_197,
    ids: aesIds(256, { gcm: 3, kw: -5, cbc: -65529, ctr: -65532, piv: 0x0c, arc: 40 }),
  },
  "hmac-sha256": {
    ...hmac("hmac-sha256"),
    bits: 256,
    strength: 256,
    basis: FIPS_198,
    ids: hmacIds("hmac-sha256", 256, 5, 0x251, 9),
  },
  "hmac-sha384": {
    ...hmac("hmac-sha384"),
    bits: 384,
    strength: 256,
    basis: FIPS_198,
    ids: hmacIds("hmac-sha384", 384, 6, 0x261, 10),
  },
  "hmac-sha512": {
    ...hmac("hmac-sha512"),
    bits: 512,
    strength: 256,
    basis: FIPS_198,
    ids: hmacIds("hmac-sha512", 512, 7, 0x271, 11),
  },
  "ml-dsa-44": { ...mlDsa(128), bits: 44, strength: 128, basis: "FIPS 204", ids: mlDsaIds(44, 1) },
  "ml-dsa-65": { ...mlDsa(192), bits: 65, strength: 192, basis: "FIPS 204", ids: mlDsaIds(65, 2) },
  "ml-dsa-87": { ...mlDsa(256), bits: 87, strength: 256, basis: "FIPS 204", ids: mlDsaIds(87, 3) },
  "ml-kem-512": { ...kem, bits: 512, strength: 128, basis: "FIPS 203", ids: mlKemIds(1) },
  "ml-kem-768": { ...kem, bits: 768, strength: 192, basis: "FIPS 203", ids: mlKemIds(2) },
  "ml-kem-1024": { ...kem, bits: 1024, strength: 256, basis: "FIPS 203", ids: mlKemIds(3) },
  "slh-dsa-sha2-128s": { ...slhDsa(128), bits: 128, strength: 128, basis: "FIPS 205", ids: slhDsaIds(20, 1) },
  "slh-dsa-sha2-128f": { ...slhDsa(128), bits: 128, strength: 128, basis: "FIPS 205", ids: slhDsaIds(21, 3) },
  "slh-dsa-sha2-192s": { ...slhDsa(192), bits: 192, strength: 192, basis: "FIPS 205", ids: slhDsaIds(22, 5) },
  "slh-dsa-sha2-192f": { ...slhDsa(192), bits: 192, strength: 192, basis: "FIPS 205", ids: slhDsaIds(23, 7) },
  "slh-dsa-sha2-256s": { ...slhDsa(256), bits: 256, strength: 256, basis: "FIPS 205", ids: slhDsaIds(24, 9) },
  "slh-dsa-sha2-256f": { ...slhDsa(256), bits: 256, strength: 256, basis: "FIPS 205", ids: slhDsaIds(25, 11) },
  "slh-dsa-shake-128s": { ...slhDsaShake(128), bits: 128, strength: 128, basis: "FIPS 205", ids: slhDsaIds(26, 2) },
  "slh-dsa-shake-128f": { ...slhDsaShake(128), bits: 128, strength: 128, basis: "FIPS 205", ids: slhDsaIds(27, 4) },
  "slh-dsa-shake-192s": { ...slhDsaShake(192), bits: 192, strength: 192, basis: "FIPS 205", ids: slhDsaIds(28, 6) },
  "slh-dsa-shake-192f": { ...slhDsaShake(192), bits: 192, strength: 192, basis: "FIPS 205", ids: slhDsaIds(29, 8) },
  "slh-dsa-shake-256s": { ...slhDsaShake(256), bits: 256, strength: 256, basis: "FIPS 205", ids: slhDsaIds(30, 10) },
  "slh-dsa-shake-256f": { ...slhDsaShake(256), bits: 256, strength: 256, basis: "FIPS 205", ids: slhDsaIds(31, 12) },
};

export function isKeyAlgorithm(name: string): name is KeyAlgorithm {
  return (KEY_ALGORITHMS as readonly string[]).includes(name);
}

/** What a user of the algorithm must know, for `KeyView.warnings`. */
export function algorithmWarnings(algorithm: KeyAlgorithm): readonly string[] {
  const row = ALGORITHMS[algorithm];
  const warnings: string[] = [];
  if (row.approval !== "approved") warnings.push(`${algorithm} is ${row.approval.replace("-", " ")}: ${row.basis}`);
  if (row.strength < 128)
    warnings.push(`${algorithm} has ${row.strength}-bit strength, acceptable through 2030 (SP 800-131A Rev. 2)`);
  return warnings;
}
