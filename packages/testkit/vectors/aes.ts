/** AES vectors. All values hexadecimal. */

export interface BlockModeVector {
  readonly source: string;
  readonly mode: "ecb" | "cbc" | "ctr";
  readonly key: string;
  /** Start value; empty for ECB. */
  readonly iv: string;
  readonly plaintext: string;
  readonly ciphertext: string;
}

/** The four blocks that NIST SP 800-38A appendix F encrypts throughout. */
const BLOCKS =
  "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
  "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
const KEY_128 = "2b7e151628aed2a6abf7158809cf4f3c";
const KEY_256 = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
const IV = "000102030405060708090a0b0c0d0e0f";
const COUNTER = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

/** NIST SP 800-38A appendix F. */
export const AES_BLOCK_MODES: readonly BlockModeVector[] = [
  {
    source: "SP 800-38A F.1.1 ECB-AES128",
    mode: "ecb",
    key: KEY_128,
    iv: "",
    plaintext: BLOCKS,
    ciphertext:
      "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf" +
      "43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4",
  },
  {
    source: "SP 800-38A F.1.5 ECB-AES256",
    mode: "ecb",
    key: KEY_256,
    iv: "",
    plaintext: BLOCKS,
    ciphertext:
      "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870" +
      "b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7",
  },
  {
    source: "SP 800-38A F.2.1 CBC-AES128",
    mode: "cbc",
    key: KEY_128,
    iv: IV,
    plaintext: BLOCKS,
    ciphertext:
      "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2" +
      "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
  },
  {
    source: "SP 800-38A F.2.5 CBC-AES256",
    mode: "cbc",
    key: KEY_256,
    iv: IV,
    plaintext: BLOCKS,
    ciphertext:
      "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d" +
      "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
  },
  {
    source: "SP 800-38A F.5.1 CTR-AES128",
    mode: "ctr",
    key: KEY_128,
    iv: COUNTER,
    plaintext: BLOCKS,
    ciphertext:
      "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff" +
      "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
  },
  {
    source: "SP 800-38A F.5.5 CTR-AES256",
    mode: "ctr",
    key: KEY_256,
    iv: COUNTER,
    plaintext: BLOCKS,
    ciphertext:
      "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5" +
      "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6",
  },
];

/** McGrew and Viega, The Galois/Counter Mode of Operation, appendix B: the examples that SP 800-38D refers to. */
export const AES_GCM = [
  {
    source: "GCM test case 2",
    key: "00000000000000000000000000000000",
    iv: "000000000000000000000000",
    context: "",
    plaintext: "00000000000000000000000000000000",
    ciphertext: "0388dace60b6a392f328c2b971b2fe78",
    tag: "ab6e47d42cec13bdf53a67b21257bddf",
  },
  {
    source: "GCM test case 4",
    key: "feffe9928665731c6d6a8f9467308308",
    iv: "cafebabefacedbaddecaf888",
    context: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
    plaintext:
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    ciphertext:
      "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
      "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
    tag: "5bc94fbc3221a5db94fae95ae7121a47",
  },
  {
    source: "GCM test case 14",
    key: "0000000000000000000000000000000000000000000000000000000000000000",
    iv: "000000000000000000000000",
    context: "",
    plaintext: "00000000000000000000000000000000",
    ciphertext: "cea7403d4d606b6e074ec5d3baf39d18",
    tag: "d0d1c8a799996bf0265b98b5d48ab919",
  },
] as const;
