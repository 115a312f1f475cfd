/** Every bound of the REST interface, named once: enforced by the schemas and printed in the OpenAPI document. */
export interface RestLimits {
  /** Largest request body in bytes. */
  readonly bodyBytes: number;
  /** Largest single input (message, plaintext, ciphertext) in bytes, before base64. */
  readonly inputBytes: number;
  /** Largest associated data or OAEP label in bytes. */
  readonly contextBytes: number;
  /** Largest signature, MAC or public key in bytes. */
  readonly artefactBytes: number;
  /** Largest public key of a peer, and largest encapsulated secret, in bytes. */
  readonly peerBytes: number;
  readonly encapsulatedBytes: number;
  /** Largest wrapped key in bytes. */
  readonly wrappedBytes: number;
  /** Items of one batch. */
  readonly batchItems: number;
  /** Items of one page. */
  readonly pageItems: number;
  /** Bytes of randomness per call. */
  readonly randomBytes: number;
  /** Data keys per call. */
  readonly dataKeys: number;
  /** Characters of a free text: note, reason. */
  readonly textLength: number;
  /** Characters of one policy. */
  readonly policyLength: number;
  /** Labels of a key, and characters of a label's name and value. */
  readonly labels: number;
  readonly labelNameLength: number;
  readonly labelValueLength: number;
  /** Bytes of all request headers. */
  readonly headerBytes: number;
  /** Characters of an Idempotency-Key. */
  readonly idempotencyKeyLength: number;
}

export const REST_LIMITS = {
  bodyBytes: 8 * 1024 * 1024,
  inputBytes: 1024 * 1024,
  contextBytes: 4096,
  /** An SLH-DSA-256f signature is 49856 bytes. */
  artefactBytes: 65_536,
  peerBytes: 1024,
  /** ML-KEM-1024 has 1568. */
  encapsulatedBytes: 4096,
  /** What devices take: RSA-4096 as PKCS#8 with the OAEP part is about 3 KiB. */
  wrappedBytes: 16_384,
  batchItems: 1000,
  pageItems: 1000,
  randomBytes: 65_536,
  dataKeys: 1000,
  textLength: 256,
  policyLength: 16_384,
  labels: 64,
  labelNameLength: 64,
  labelValueLength: 256,
  headerBytes: 16_384,
  idempotencyKeyLength: 128,
} as const satisfies RestLimits;

/** How the listeners treat time and numbers of connections. */
export interface ConnectionLimits {
  /** All headers must have come within this time: a slow sender is cut off. */
  readonly headersTimeoutMs: number;
  /** The whole request, body included. */
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** A connection on which nothing moves in either direction, e.g. one that does not read its answer. */
  readonly silenceTimeoutMs: number;
  /** TLS must be agreed on within this time. */
  readonly handshakeTimeoutMs: number;
  /** How often the two above are looked at. */
  readonly checkEveryMs: number;
  /** Connections per listener. */
  readonly connections: number;
  readonly headers: number;
  /** How long close() waits for requests in flight. */
  readonly closeGraceMs: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 65_000,
  silenceTimeoutMs: 180_000,
  handshakeTimeoutMs: 10_000,
  checkEveryMs: 2_000,
  connections: 4096,
  headers: 64,
  closeGraceMs: 10_000,
};
