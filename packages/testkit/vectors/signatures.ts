/** Signature vectors. All values hexadecimal. */

/** Signatures that are the same each time they are made. `key` is the raw private key. */
export const DETERMINISTIC_SIGNATURES = [
  {
    source: "RFC 8032 §7.1 test 1",
    algorithm: "ed25519",
    key: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    publicKey: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    message: "",
    signature:
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155" +
      "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
  },
  {
    source: "RFC 8032 §7.1 test 2",
    algorithm: "ed25519",
    key: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    publicKey: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    message: "72",
    signature:
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  },
  {
    source: "RFC 8032 §7.4 blank",
    algorithm: "ed448",
    key:
      "6c82a562cb808d10d632be89c8513ebf6c929f34ddfa8c9f63c9960ef6e348a3" +
      "528c8a3fcc2f044e39a3fc5b94492f8f032e7549a20098f95b",
    publicKey:
      "5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778" +
      "edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180",
    message: "",
    signature:
      "533a37f6bbe457251f023c0d88f976ae2dfb504a843e34d2074fd823d41a591f" +
      "2b233f034f628281f2fd7a22ddd47d7828c59bd0a21bfd3980ff0d2028d4b18a" +
      "9df63e006c5d1c2d345b925d8dc00b4104852db99ac5c7cdda8530a113a0f4db" +
      "b61149f05a7363268c71d95808ff2e652600",
  },
] as const;

/** ECDSA signatures made elsewhere, as r and s, over the message "sample". */
export const ECDSA_SIGNATURES = [
  {
    source: "RFC 6979 A.2.5, SHA-256",
    algorithm: "ec-p256",
    scheme: "ecdsa-sha256",
    key: "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
    r: "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
    s: "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
  },
  {
    source: "RFC 6979 A.2.6, SHA-384",
    algorithm: "ec-p384",
    scheme: "ecdsa-sha384",
    key: "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
    r: "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46",
    s: "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
  },
] as const;

/** Ed25519ph and Ed448ph of "abc", without a context. */
export const PREHASHED_SIGNATURES = [
  {
    source: "RFC 8032 §7.3 Ed25519ph",
    algorithm: "ed25519",
    scheme: "prehash-sha512",
    key: "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
    publicKey: "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    message: "616263",
    signature:
      "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41" +
      "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
  },
  {
    source: "RFC 8032 §7.5 Ed448ph",
    algorithm: "ed448",
    scheme: "prehash-shake256",
    key: "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42ef7822e0d5104127dc05d6dbefde69e3ab2cec7c867c6e2c49",
    publicKey:
      "259b71c19f83ef77a7abd26524cbdb3161b590a48f7d17de3ee0ba9c52beb743c09428a131d6b1b57303d90d8132c276d5ed3d5d01c0f53880",
    message: "616263",
    signature:
      "822f6901f7480f3d5f562c592994d9693602875614483256505600bbc281ae381f54d6bce2ea911574932f52a4e6cadd78769375ec3ffd1b80" +
      "1a0d9b3f4030cd433964b6457ea39476511214f97469b57dd32dbc560a9a94d00bff07620464a3ad203df7dc7ce360c3cd3696d9d9fab90f00",
  },
] as const;
