/** What the keyring asks of its parts: the audit log and the policy decision point. */
import type { CasemateError } from "@casemate/foundation/errors";
import type { LogCheckpoint, WitnessedLog } from "@casemate/devices/contract";
import type { Action } from "./actions.ts";
import type { AuditRecordView, Caller, Checkpoint, Decision, KeyState, Page, Paged } from "./types.ts";

/** One record to be written. No secret, payload or plaintext: digests and sizes only. */
export interface AuditEntry {
  readonly principal: string;
  readonly source: string;
  readonly token?: string | undefined;
  readonly requestId?: string | undefined;
  /** An `Action`, or `authenticate`, `refused`, `schedule`, `start`, `stop`, `device.<event>`. */
  readonly action: string;
  /** `key/NAME`, `token/ID`, `device/ID`, `policy/ID`, or empty. */
  readonly resource: string;
  /** "ok" or the error code. */
  readonly outcome: string;
  /** Items of a batch; 1 otherwise. */
  readonly count: number;
  readonly details?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** A checkpoint before it is signed. */
export interface UnsignedCheckpoint extends LogCheckpoint {
  /** RFC 6962 consistency proof from an older size of the same log; empty from 0. */
  since(older: number): Promise<readonly Uint8Array[]>;
}

/** Signs checkpoints: an Ed25519 key inside a device. */
export interface CheckpointSigner {
  /** C2SP key name, the device id. */
  readonly name: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** `note` is the text, `checkpoint` what it says. @throws TAMPER_DETECTED by a witness: the log does not continue. */
  sign(note: Uint8Array, checkpoint: UnsignedCheckpoint): Promise<Uint8Array>;
  /** The newest checkpoint that the device remembers having signed; absent where it remembers none, ever. */
  witnessed?(): Promise<WitnessedLog | undefined>;
  /** Is told of checkpoints that are gone, before the next one covers that up. */
  found?(error: CasemateError): Promise<void>;
  /** Is told how each checkpoint went: whether it is signed and kept, or why not. */
  went?(failure?: CasemateError): void;
}

export interface AuditHead {
  readonly size: number;
  /** Hash of the newest record, hex; 64 zeros for an empty log. */
  readonly hash: string;
}

/**
 * When a record counts as kept: `durable` once it is on the disk, `relaxed` once the kernel has it. A killed process
 * loses neither; a power cut may lose relaxed records of the last moments, never one before a kept one. `reserved` is durable
 * and may take the room that `room` has made sure of.
 */
export type Durability = "durable" | "relaxed" | "reserved";

export interface AuditLog {
  /**
   * Resolves with the record's index once it is kept. `following` is how many more appends are under way: durable ones may
   * wait a moment for each other. @throws STORAGE_FULL, STORAGE_FAILED; nothing is acknowledged then.
   */
  append(entry: AuditEntry, durability?: Durability, following?: number): Promise<number>;
  /**
   * Makes sure of room for the records of changes before these are made; undefined when it is there. @throws STORAGE_FULL, STORAGE_FAILED.
   */
  room(): Promise<void> | undefined;
  /** Newest durable record. */
  readonly head: AuditHead;
  /** What there was when it was opened: records, and those that the newest kept checkpoint covers. */
  readonly opened: { readonly records: number; readonly checkpoint: number };
  /** undefined where the key is gone: nobody signs until another comes. */
  useSigner(signer: CheckpointSigner | undefined): void;
  /**
   * Holds the log against what a device has witnessed of it. Resolves with what is wrong beside the records: checkpoints that were
   * removed, or a device that is older than the log. @throws TAMPER_DETECTED when the records are not a continuation.
   */
  compare(witnessed: WitnessedLog, device: string): Promise<CasemateError | undefined>;
  /** What is wrong with a device that keeps logs in mind, but not this one, for which it has that key (raw Ed25519). */
  forgotten(publicKey: Uint8Array, device: string): CasemateError | undefined;
  /** Whether the history keeps checkpoints of all these sizes that this key has signed over this log's records. */
  holds(sizes: readonly number[], signer: Pick<CheckpointSigner, "name" | "publicKey">): Promise<boolean>;
  records(
    query: Page & {
      readonly from?: number;
      readonly principal?: string;
      readonly resource?: string;
      readonly outcome?: string;
    },
  ): Promise<Paged<AuditRecordView>>;
  /** Signs the tree as it stands and keeps the note. @throws DEVICE_* of the signer. */
  checkpoint(): Promise<Checkpoint>;
  inclusion(
    index: number,
    size?: number,
  ): Promise<{
    readonly index: number;
    readonly size: number;
    readonly leafHash: string;
    readonly path: readonly string[];
    readonly rootHash: string;
  }>;
  consistency(
    first: number,
    second?: number,
  ): Promise<{ readonly first: number; readonly second: number; readonly path: readonly string[] }>;
  /**
   * Reads the whole log again from its first record, slowly, while it is written on. Answers with the files beside the records that did not
   * fit them, and were made again. @throws TAMPER_DETECTED naming the first bad record.
   */
  check(): Promise<readonly string[]>;
  /** Flushes, signs a last checkpoint where a signer is set, closes the files. */
  close(): Promise<void>;
}

export interface PolicyRequest {
  readonly caller: Pick<Caller, "principal" | "kind" | "roles" | "source">;
  readonly action: Action;
  readonly resource:
    | {
        readonly type: "key";
        readonly name: string;
        readonly algorithm: string;
        readonly device: string;
        readonly deviceKind: string;
        readonly state: KeyState;
        readonly labels: Readonly<Record<string, string>>;
        readonly createdBy: string;
      }
    | { readonly type: "keyring" };
  /** A counter that changes whenever the resource's attributes do, for caching; absent = do not cache. */
  readonly revision?: number;
  /** Decide as at this time (milliseconds), which is not remembered; absent = now. */
  readonly at?: number;
}

export interface PolicyText {
  readonly id: string;
  readonly text: string;
  readonly builtIn: boolean;
}

/** Default deny, forbid wins. */
export interface PolicyEngine {
  decide(request: PolicyRequest): Decision;
  list(): readonly PolicyText[];
  /** @throws CONFIG_INVALID naming policy, line and what was probably meant. */
  validate(id: string, text: string): void;
  /** Replaces all policies that are not built in, after validating each. */
  replace(policies: readonly { readonly id: string; readonly text: string }[]): void;
  /** Decides as if `text` were a policy of its own beside the present ones. */
  tryOut(text: string, requests: readonly PolicyRequest[]): readonly Decision[];
}
