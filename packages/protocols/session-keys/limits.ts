/** Bounds of every size and count on the wire between a server and its session keys. All in bytes unless named otherwise. */
export const LIMITS = {
  keyId: 16,
  /** One message, plaintext or ciphertext: fits into a frame of 16 MiB with all that goes with it. */
  data: 15 * 1024 * 1024,
  /** The largest secret key. */
  secret: 4096,
  /** Additional data of an authenticated encryption. */
  context: 512 * 1024,
  /** A nonce of AES-GCM: OpenSSL takes no longer ones. */
  nonce: 128,
  /** An initial block. */
  iv: 16,
  /** A number of an RSA key of 4096 bits. */
  number: 512,
  /** SubjectPublicKeyInfo of the largest key. */
  publicKey: 2048,
  /** PKCS#8 of the largest key. */
  privateKey: 4096,
  /** A wrapped key of any kind. */
  wrapped: 8192,
  mac: 64,
  /** Data that is mixed into a derived key. */
  shared: 65_536,
  /** Parts of one digest. */
  parts: 4096,
  /** Keys forgotten by one request. */
  forget: 4096,
  /** Keys that the process holds; then it is full. */
  keys: 32_768,
} as const;
