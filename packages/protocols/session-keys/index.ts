export { LIMITS } from "./limits.ts";
export { OPERATIONS, type Operation, type OperationName, type ReplyOf, type RequestOf } from "./operations.ts";
export type {
  CipherRequest,
  CurveName,
  DeriveRequest,
  Grants,
  Hash,
  MacAlgorithm,
  RsaPadding,
  SecretType,
  Wrapping,
} from "./messages.ts";
