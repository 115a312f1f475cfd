/** What one call to the server is made of. */
export interface ApiCall {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  /** Uint8Array anywhere inside becomes base64. */
  readonly body?: object;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Where the answer has base64 to be decoded; "*" stands for each item of a list. */
  readonly bytes?: readonly (readonly string[])[];
  /** Sent with an Idempotency-Key, so that a retry cannot create twice. */
  readonly creates?: true;
  /** Repeating it does no harm, so that a lost answer may be asked for again. */
  readonly repeatable?: true;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** For creating calls: the key to use instead of a random one, e.g. to retry over a restart of the caller. */
  readonly idempotencyKey?: string;
  /** Copied to the audit log: 1 to 64 of A-Z a-z 0-9 . _ - */
  readonly requestId?: string;
}
