// Implements: PKCS #11 v3.0 §5.6, sessions and the operations that run in them.
import { createHash, type Hash as NodeHash } from "node:crypto";
import { LIMITS, type RequestOf } from "@casemate/protocols/session-keys";
import type { CipherStream } from "./cipher-stream.ts";
import type { WholeCipher } from "./cipher-engine.ts";
import type { Hash } from "./mechanisms.ts";
import type { SignEngine } from "./sign-engine.ts";
import { failure } from "./status.ts";
import type { VerifyEngine } from "./verify-engine.ts";

/** One-shot and multi-part calls do not mix within one operation. */
export interface Progress {
  mode: "fresh" | "whole" | "parts";
  /** A result that did not fit the caller's buffer, kept for the next try. */
  kept: Uint8Array | undefined;
  /** The key asks for a login before each use (CKA_ALWAYS_AUTHENTICATE), and none has come yet. */
  loginDue: boolean;
  /** Ended with nothing, towards a caller who may have asked for the size alone: the same call is answered once more. */
  over?: boolean;
  /** What was asked for `kept`: another input is worked on anew. */
  keptFor?: Uint8Array | undefined;
  /** The call that ends it is under way: whatever comes meanwhile comes too late. */
  ending?: boolean;
}

export interface DigestOperation extends Progress {
  readonly hash: Hash;
  state: NodeHash;
  /** What was digested, for C_GetOperationState; undefined once it is too much or holds a key's value. */
  input: Uint8Array[] | undefined;
  length: number;
  /** With the value of a session key in it: all that is to be digested, where the key is. */
  keyed?: RequestOf<"digest">["parts"];
}
export interface SignOperation extends Progress {
  readonly engine: SignEngine;
  readonly input: Accumulator;
  readonly mechanism: number;
}
export interface VerifyOperation extends Progress {
  readonly engine: VerifyEngine;
  readonly input: Accumulator;
}
export interface CipherOperation extends Progress {
  readonly encrypt: boolean;
  stream?: CipherStream;
  whole?: WholeCipher;
  /** The cipher as it was before its first input. */
  readonly restart: () => Pick<CipherOperation, "stream" | "whole">;
}
export interface FindOperation {
  handles: readonly number[];
  at: number;
}
export interface RecoverOperation extends Progress {
  readonly size: number;
  run(input: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** The running operations of one session, one of each kind. */
export interface Operations {
  find?: FindOperation | undefined;
  digest?: DigestOperation | undefined;
  encrypt?: CipherOperation | undefined;
  decrypt?: CipherOperation | undefined;
  sign?: SignOperation | undefined;
  verify?: VerifyOperation | undefined;
  signRecover?: RecoverOperation | undefined;
  verifyRecover?: RecoverOperation | undefined;
}

/** Collects multi-part input: hashed at once where there is a hash, else kept up to a limit. */
export class Accumulator {
  /** Made with the first part: most operations sign at once, in the device. */
  #running: NodeHash | undefined;
  readonly #hash: Hash | undefined;
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  constructor(hash: Hash | undefined) {
    this.#hash = hash;
  }

  /** @throws CKR_DATA_LEN_RANGE beyond 15 MiB of input that must be kept whole. */
  add(part: Uint8Array): void {
    if (this.#hash !== undefined) {
      (this.#running ??= createHash(this.#hash)).update(part);
      return;
    }
    this.#length += part.length;
    if (this.#length > MAX_KEPT) throw failure("DATA_LEN_RANGE");
    this.#parts.push(part);
  }

  finish(): Uint8Array {
    if (this.#hash !== undefined) return (this.#running ?? createHash(this.#hash)).digest();
    const [first, ...rest] = this.#parts;
    return rest.length === 0 ? (first ?? new Uint8Array(0)) : Buffer.concat(this.#parts);
  }
}

const MAX_KEPT = LIMITS.data;

export class Session {
  readonly handle: number;
  readonly slot: number;
  readonly writable: boolean;
  readonly flags: number;
  /** The client writes the same for a NULL pointer as for a buffer without room (p11-kit before 0.25). */
  readonly roomUnsaid: boolean;
  operations: Operations = {};
  /** Session objects that end with it. */
  readonly objects = new Set<string>();

  constructor(handle: number, slot: number, flags: number, writable: boolean, roomUnsaid: boolean) {
    this.roomUnsaid = roomUnsaid;
    this.handle = handle;
    this.slot = slot;
    this.flags = flags;
    this.writable = writable;
  }

  /** @throws CKR_OPERATION_NOT_INITIALIZED. */
  running<K extends keyof Operations>(kind: K): NonNullable<Operations[K]> {
    const operation = this.operations[kind];
    if (operation === undefined || ("ending" in operation && operation.ending === true))
      throw failure("OPERATION_NOT_INITIALIZED");
    return operation;
  }

  /** As `running`, for what does not end the operation. @throws CKR_OPERATION_NOT_INITIALIZED. */
  goingOn<K extends "encrypt" | "decrypt">(kind: K): NonNullable<Operations[K]> {
    const operation = this.running(kind);
    if (operation.over === true) throw failure("OPERATION_NOT_INITIALIZED");
    return operation;
  }

  /** The operation that waits for a login of its own. */
  awaitingLogin(): Progress | undefined {
    const { sign, signRecover, decrypt } = this.operations;
    return [sign, signRecover, decrypt].find((operation) => operation?.loginDue === true);
  }

  /** @throws CKR_OPERATION_ACTIVE. */
  mustBeFree(kind: keyof Operations): void {
    const operation = this.operations[kind];
    if (operation !== undefined && !("over" in operation && operation.over === true)) throw failure("OPERATION_ACTIVE");
  }
}
