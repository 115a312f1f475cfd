/** Bounds of every size and count on the wire between an HSM driver and the virtual HSM. All in bytes unless named otherwise. */
export const LIMITS = {
  /** A sealed key reference: the largest is an imported ML-DSA-87 key in expanded form. */
  ref: 8192,
  /** One message, plaintext or ciphertext. */
  data: 1_048_576,
  /** What encryption adds at most: nonce or iv, padding, tag. */
  overhead: 64,
  /** A GCM additional data or OAEP label. */
  context: 65_536,
  /** A signature: SLH-DSA-256f has 49 856. */
  signature: 65_536,
  mac: 64,
  iv: 16,
  publicKey: 8192,
  /** A wrapped private key, RSA-OAEP part included. */
  wrapped: 16_384,
  kemCiphertext: 4096,
  /** Items in one batch. */
  items: 4096,
  /** Bytes of one random request. */
  random: 65_536,
  /** Data keys in one request. */
  dataKeys: 4096,
  /** Sealed device state: two generations fit into one frame. */
  state: 7_864_320,
  /** Generations of sealed state offered at start. */
  generations: 2,
  /** Destroyed keys a device remembers. */
  destroyed: 500_000,
  /** Keys whose AES-GCM counter a device keeps. */
  counters: 200_000,
  /** Audit logs a device remembers, one for each key that signs checkpoints. */
  logs: 64,
  /** The name of a log, which a checkpoint begins with. */
  origin: 128,
  /** Hashes of one consistency proof: two for each level of a tree of 2^53 records are more than any has. */
  proof: 128,
  /** An unlock message: ephemeral key, nonce, encrypted passphrase, tag. */
  unlock: 2048,
  text: 2048,
  notes: 64,
  counterNames: 64,
} as const;
