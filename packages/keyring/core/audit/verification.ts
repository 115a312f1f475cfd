import type { AuditHead } from "../ports.ts";
import type { DatabaseHead } from "./database-comparison.ts";
import type { Kept, Witnessed } from "./witnessed.ts";

export interface VerifyAuditOptions {
  /** A checkpoint kept elsewhere: the log must continue it. */
  readonly checkpoint?: string;
  /** 32 bytes of Ed25519: the key that must have signed the newest checkpoint (and the given one). */
  readonly publicKey?: Uint8Array;
  /** What a device has witnessed of this log, asked before the log is read; `kept` is what was kept then. */
  readonly witness?: Witnessed & { readonly kept?: Kept };
  /** Reads what the database beside the log says of itself: whether the two belong together. */
  readonly database?: () => DatabaseHead;
  /** A server has the log open: it has put right what a crash may leave. */
  readonly running?: boolean;
  /** Called about once per MiB with what was verified so far. */
  readonly progress?: (done: { readonly records: number; readonly bytes: number }) => void;
}

export type AuditProblemKind =
  | "format"
  | "order"
  | "hash"
  | "truncated"
  | "missing-segment"
  | "segment"
  | "checkpoint"
  | "signature"
  | "key"
  | "head"
  | "tree"
  | "witness"
  /** The log holds, and the database beside it is not that log's. */
  | "database";

/** The first thing that is wrong. */
export interface AuditProblem {
  readonly kind: AuditProblemKind;
  /** First bad record: its index, or the first one missing. Absent where no record is concerned. */
  readonly index?: number;
  readonly segment?: string;
  readonly message: string;
  /** What to do about it, where that is known. */
  readonly hint?: string;
  /** Where a device has witnessed other records: how many, from the first on, both have. */
  readonly agreed?: number;
  /** The records hold, and this file beside them does not fit: the next start makes it again from them. */
  readonly remakes?: string;
}

export interface AuditVerification {
  readonly ok: boolean;
  /** Good records from the first on, up to the first bad one. */
  readonly records: number;
  readonly head: AuditHead;
  /** Merkle root over those records, hexadecimal. */
  readonly rootHash: string;
  readonly segments: number;
  /** Kept checkpoints whose root and signature hold. */
  readonly checkpoints: number;
  readonly newestCheckpoint?: { readonly size: number; readonly rootHash: string; readonly signedBy: string };
  /** The device whose memory the log was held against, and how many records it has witnessed. */
  readonly witness?: { readonly device: string; readonly records: number };
  /** Keys that records of the log pin, oldest first, as verifier keys: `name+id+key`. */
  readonly keys: readonly string[];
  /** Bytes of an incomplete last record; the next start of the server removes them. */
  readonly tornBytes: number;
  /** Files that can be made again from the records and are not there; the next start of the server does. */
  readonly gone: readonly string[];
  /** One of the two places of `head` was being written when the server ended; the next start writes it again. */
  readonly headTorn?: true;
  /** What is wrong beside the records, which hold: checkpoints that were removed, or an older log, found now or by a server that has it on record. */
  readonly alarm?: string;
  readonly problem?: AuditProblem;
}
