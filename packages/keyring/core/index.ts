export { openKeyring, type KeyringOptions, type OpenKeyring } from "./open-keyring.ts";
export { ACTIONS, type Action, type SessionKeyAction } from "./actions.ts";
export {
  ALGORITHMS,
  algorithmWarnings,
  isKeyAlgorithm,
  type AlgorithmRow,
  type Approval,
  type Family,
} from "./algorithms.ts";
export type { AlgorithmIds, Named, SchemeId } from "./algorithm-ids.ts";
export { ALLOWED, MOVES, OPERATIONS, TRANSITIONS, mayMove, type Operation } from "./lifecycle/states.ts";
export { MAX_WAIT_DAYS } from "./lifecycle/destroy-key.ts";
export { MAX_BATCH, MAX_BATCH_BYTES } from "./use/batch.ts";
export { Locks } from "./locks.ts";
export { KEY_STATES, MAX_TOKEN_DAYS, ROLES } from "./names.ts";
export {
  COLLECTIONS,
  type Cell,
  type Change,
  type Collection,
  type Row,
  type Store,
  type StoreHead,
  type StoreQuery,
  type StoreState,
} from "./store.ts";
export type { NewObject, ObjectQuery, ObjectRecord, ObjectStore } from "./objects.ts";
export type {
  AuditEntry,
  AuditHead,
  AuditLog,
  CheckpointSigner,
  UnsignedCheckpoint,
  Durability,
  PolicyEngine,
  PolicyRequest,
  PolicyText,
} from "./ports.ts";
export type * from "./types.ts";
export { createPolicyEngine } from "./policy/policy-engine.ts";
export { openAudit, type AuditRecovery, type FileAuditLog, type OpenAuditOptions } from "./audit/open-audit.ts";
export { verifyCheckpoint, formatNoteKey, parseNoteKey, type NoteKey, type VerifiedCheckpoint } from "./audit/note.ts";
export { verifyConsistency, verifyInclusion } from "./audit/merkle.ts";
export { verifyAuditDirectory } from "./audit/verify-directory.ts";
export type { DatabaseHead } from "./audit/database-comparison.ts";
export { keptIn } from "./audit/kept-checkpoints.ts";
export type { AuditProblem, AuditProblemKind, AuditVerification, VerifyAuditOptions } from "./audit/verification.ts";
