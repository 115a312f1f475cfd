import { limitOf } from "../paging.ts";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";

export function auditRecords(core: Core): Keyring["auditRecords"] {
  return (caller, query) =>
    core.guard.keyring(caller, "audit.read", "", async () => {
      limitOf(query);
      return core.audit.records(query);
    });
}

export function auditCheckpoint(core: Core): Keyring["auditCheckpoint"] {
  return (caller) => core.guard.keyring(caller, "audit.checkpoint", "", async () => core.audit.checkpoint());
}

export function auditInclusion(core: Core): Keyring["auditInclusion"] {
  return (caller, index, size) =>
    core.guard.keyring(caller, "audit.prove", "", async () => core.audit.inclusion(index, size));
}

export function auditConsistency(core: Core): Keyring["auditConsistency"] {
  return (caller, first, second) =>
    core.guard.keyring(caller, "audit.prove", "", async () => core.audit.consistency(first, second));
}
