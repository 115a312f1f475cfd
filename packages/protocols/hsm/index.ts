export { LIMITS } from "./limits.ts";
export {
  ALGORITHMS,
  KEY_ALGORITHM_NAMES,
  usageFlags,
  usageNames,
  type AlgorithmRow,
  type CipherScheme,
  type Family,
  type KeyAlgorithm,
  type MacScheme,
  type SignScheme,
  type Usage,
  type UsageFlags,
  type WrapScheme,
} from "./algorithms.ts";
export {
  KEY_ID_BYTES,
  KEY_REF_HEADER_BYTES,
  KEY_REF_NONCE_BYTES,
  KEY_REF_TAG_BYTES,
  KEY_REF_VERSION,
  keyRefCodec,
  keyRefHeaderCodec,
  peekAlgorithm,
  type KeyRefFields,
  type KeyRefHeader,
} from "./key-ref.ts";
export { NOTICES, OPERATIONS, UNLOCK_CONTEXT, UNLOCK_INFO } from "./operations.ts";
export type { Operation, OperationName, ReplyOf, RequestOf } from "./operations.ts";
export type {
  CheckMacRequest,
  DataKeysRequest,
  DecryptRequest,
  EncryptRequest,
  ExportRequest,
  GenerateRequest,
  ImportRequest,
  MacRequest,
  RestoreRequest,
  RootKind,
  SaveOutcome,
  SignCheckpointRequest,
  SignRequest,
  StatusReply,
  VerifyRequest,
  WireState,
} from "./messages.ts";
export type { Results } from "./results.ts";
