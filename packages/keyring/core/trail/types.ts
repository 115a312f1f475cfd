/** What the audit log shows. */
export interface AuditRecordView {
  readonly index: number;
  readonly time: string;
  readonly principal: string;
  readonly source: string;
  readonly action: string;
  readonly resource: string;
  /** "ok" or the error code. */
  readonly outcome: string;
  readonly count: number;
  readonly details: Readonly<Record<string, string | number | boolean>>;
  /** Hex of the record's SHA-256 over the previous hash and the canonical record. */
  readonly hash: string;
}

export interface Checkpoint {
  /** C2SP tlog-checkpoint note text with its signature lines. */
  readonly note: string;
  readonly size: number;
  readonly rootHash: string;
  readonly signedBy: string;
}

export interface InclusionProof {
  readonly index: number;
  readonly size: number;
  readonly leafHash: string;
  readonly path: readonly string[];
  readonly rootHash: string;
}
