/** The one table of operations on session keys: number, request and reply layout. */
import type { Codec } from "@casemate/foundation/codec";
import * as m from "./messages.ts";

export interface Operation<Q, R> {
  readonly op: number;
  readonly request: Codec<Q>;
  readonly reply: Codec<R>;
}

const operation = <Q, R>(op: number, request: Codec<Q>, reply: Codec<R>): Operation<Q, R> => ({ op, request, reply });

export const OPERATIONS = {
  status: operation(1, m.emptyCodec, m.statusReply),
  generateSecret: operation(2, m.generateSecretRequest, m.secretReply),
  generateRsa: operation(3, m.generateRsaRequest, m.privateReply),
  generateCurve: operation(4, m.generateCurveRequest, m.privateReply),
  importSecret: operation(5, m.importSecretRequest, m.secretReply),
  importRsa: operation(6, m.importRsaRequest, m.privateReply),
  importCurve: operation(7, m.importCurveRequest, m.privateReply),
  importPkcs8: operation(8, m.importPkcs8Request, m.privateReply),
  /** A copy with its own grants, no more than the original's. */
  copy: operation(9, m.grantsRequest, m.keyRequest),
  /** Takes grants away from a key. */
  restrict: operation(10, m.grantsRequest, m.emptyCodec),
  forget: operation(11, m.forgetRequest, m.emptyCodec),
  /** The values of a readable key. */
  read: operation(12, m.keyRequest, m.partsReply),
  /** The value of an extractable key, or PKCS#8, for a device that wraps it. */
  plaintext: operation(13, m.keyRequest, m.bytesReply),
  sign: operation(14, m.signRequest, m.bytesReply),
  mac: operation(15, m.macRequest, m.bytesReply),
  checkMac: operation(16, m.checkMacRequest, m.checkMacReply),
  decrypt: operation(17, m.decryptRequest, m.bytesReply),
  cipher: operation(18, m.cipherRequest, m.bytesReply),
  gcm: operation(19, m.gcmRequest, m.bytesReply),
  agree: operation(20, m.agreeRequest, m.secretReply),
  derive: operation(21, m.deriveRequest, m.secretReply),
  wrap: operation(22, m.wrapRequest, m.bytesReply),
  wrapFor: operation(23, m.wrapForRequest, m.bytesReply),
  seal: operation(24, m.sealRequest, m.bytesReply),
  unwrapSecret: operation(25, m.unwrapSecretRequest, m.secretReply),
  unwrapPrivate: operation(26, m.unwrapPrivateRequest, m.privateReply),
  digest: operation(27, m.digestRequest, m.bytesReply),
} as const;

export type OperationName = keyof typeof OPERATIONS;
export type RequestOf<N extends OperationName> = (typeof OPERATIONS)[N] extends Operation<infer Q, unknown> ? Q : never;
export type ReplyOf<N extends OperationName> = (typeof OPERATIONS)[N] extends Operation<infer _Q, infer R> ? R : never;
