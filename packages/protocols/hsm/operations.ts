/** The one table of operations: number, request and reply layout, and in which device states it is allowed. */
import type { Codec } from "@casemate/foundation/codec";
import * as m from "./messages.ts";
import { boolResultsCodec, bytesResultsCodec } from "./results.ts";

export interface Operation<Q, R> {
  readonly op: number;
  readonly request: Codec<Q>;
  readonly reply: Codec<R>;
  readonly allowedIn: readonly m.WireState[];
}

const operation = <Q, R>(
  op: number,
  request: Codec<Q>,
  reply: Codec<R>,
  allowedIn: readonly m.WireState[] = ["operational"],
): Operation<Q, R> => ({ op, request, reply, allowedIn });

const ALWAYS = ["starting", "operational", "locked", "tampered", "error"] as const;

export const OPERATIONS = {
  restore: operation(1, m.restoreRequest, m.emptyCodec, ["starting"]),
  status: operation(2, m.emptyCodec, m.statusReply, ALWAYS),
  /** Host → device: what became of a STATE_SAVE notice. */
  stateSaved: operation(3, m.stateSaved, m.emptyCodec, ALWAYS),
  random: operation(4, m.randomRequest, m.bytesReply),
  generate: operation(5, m.generateRequest, m.newKeyReply),
  publicKey: operation(6, m.refRequest, m.bytesReply),
  destroy: operation(7, m.refRequest, m.emptyCodec),
  sign: operation(8, m.signRequest, bytesResultsCodec),
  verify: operation(9, m.verifyRequest, boolResultsCodec),
  encrypt: operation(10, m.encryptRequest, bytesResultsCodec),
  decrypt: operation(11, m.decryptRequest, bytesResultsCodec),
  mac: operation(12, m.macRequest, bytesResultsCodec),
  checkMac: operation(13, m.checkMacRequest, boolResultsCodec),
  agree: operation(14, m.agreeRequest, m.bytesReply),
  encapsulate: operation(15, m.refRequest, m.encapsulateReply),
  decapsulate: operation(16, m.decapsulateRequest, m.bytesReply),
  exportKey: operation(17, m.exportRequest, m.bytesReply),
  importKey: operation(18, m.importRequest, m.newKeyReply),
  dataKeys: operation(19, m.dataKeysRequest, m.dataKeysReply),
  challenge: operation(20, m.emptyCodec, m.challengeReply, ["locked", "operational"]),
  unlock: operation(21, m.unlockRequest, m.emptyCodec, ["locked"]),
  lock: operation(22, m.emptyCodec, m.emptyCodec, ["operational", "locked"]),
  zeroize: operation(23, m.emptyCodec, m.emptyCodec, ["operational", "locked", "tampered", "error"]),
  witnessedLogs: operation(24, m.emptyCodec, m.witnessedLogsReply),
  signCheckpoint: operation(25, m.signCheckpointRequest, m.bytesReply),
} as const;

export type OperationName = keyof typeof OPERATIONS;
export type RequestOf<N extends OperationName> = (typeof OPERATIONS)[N] extends Operation<infer Q, unknown> ? Q : never;
export type ReplyOf<N extends OperationName> = (typeof OPERATIONS)[N] extends Operation<infer _Q, infer R> ? R : never;

/** Frames the device starts by itself. */
export const NOTICES = {
  /** Keep these bytes durably, then answer with `stateSaved`. */
  stateSave: { op: 1, body: m.stateSave },
  stateChanged: { op: 2, body: m.stateEvent },
} as const;

/** What the unlock key signs before a one-time public key: so that its signatures mean nothing elsewhere. */
export const UNLOCK_CONTEXT = "casemate virtual HSM unlock v1\0";
/** HKDF info of the unlock message: X25519 shared secret → AES-256-GCM key. */
export const UNLOCK_INFO = "casemate virtual HSM passphrase v1";
