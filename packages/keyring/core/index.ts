export { createPolicyEngine } from "./policy/policy-engine.ts";
export { openAudit, type AuditRecovery, type FileAuditLog, type OpenAuditOptions } from "./audit/open-audit.ts";
export { verifyCheckpoint, formatNoteKey, parseNoteKey, type NoteKey, type VerifiedCheckpoint } from "./audit/note.ts";
export { verifyConsistency, verifyInclusion } from "./audit/merkle.ts";
