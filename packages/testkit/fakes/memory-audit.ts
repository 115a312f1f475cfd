import { createHash } from "node:crypto";
import { CasemateError } from "@casemate/foundation/errors";
import type { AuditEntry, AuditLog, AuditRecordView, CheckpointSigner } from "@casemate/keyring/core";

export interface MemoryAudit extends AuditLog {
  readonly entries: readonly AuditEntry[];
  /** Entries whose answer did not wait for the disk. */
  readonly relaxed: ReadonlySet<AuditEntry>;
  /** Entries that might have taken the room that was made sure of. */
  readonly reserved: ReadonlySet<AuditEntry>;
  readonly signer: CheckpointSigner | undefined;
  /** Until called with undefined, every append fails with this. */
  failWith(error: CasemateError | undefined): void;
  /** Until called with undefined, there is no room for the records of changes. */
  refuseRoom(error: CasemateError | undefined): void;
  /** Forgets the newest records, as a rolled-back log would. */
  cut(size: number): void;
}

/** A chained audit log in memory; proofs are made by the real one alone. */
export function memoryAudit(): MemoryAudit {
  const entries: AuditEntry[] = [];
  const views: AuditRecordView[] = [];
  const relaxed = new Set<AuditEntry>();
  const reserved = new Set<AuditEntry>();
  let failure: CasemateError | undefined;
  let noRoom: CasemateError | undefined;
  let signer: CheckpointSigner | undefined;
  const hashAt = (size: number): string => views[size - 1]?.hash ?? "0".repeat(64);
  const absent = () => Promise.reject(new Error("the memory audit makes no proofs"));
  return {
    entries,
    relaxed,
    reserved,
    get signer() {
      return signer;
    },
    failWith(error) {
      failure = error;
    },
    refuseRoom(error) {
      noRoom = error;
    },
    room: () => (noRoom === undefined ? undefined : Promise.reject(noRoom)),
    cut(size) {
      entries.length = size;
      views.length = size;
    },
    async append(entry, durability) {
      if (failure !== undefined) throw failure;
      if (durability === "relaxed") relaxed.add(entry);
      if (durability === "reserved") reserved.add(entry);
      const index = views.length;
      const hash = createHash("sha256").update(hashAt(index)).update(JSON.stringify(entry)).digest("hex");
      const { principal, source, action, resource, outcome, count, details = {} } = entry;
      entries.push(entry);
      views.push({
        index,
        time: new Date(0).toISOString(),
        principal,
        source,
        action,
        resource,
        outcome,
        count,
        details,
        hash,
      });
      return index;
    },
    check: () => Promise.resolve([]),
    get head() {
      return { size: views.length, hash: hashAt(views.length) };
    },
    get opened() {
      return { records: views.length, checkpoint: 0 };
    },
    useSigner(next) {
      signer = next;
    },
    async compare(witnessed, device) {
      if (witnessed.size > views.length)
        throw new CasemateError("TAMPER_DETECTED", `${device} has witnessed ${witnessed.size} records`);
      return undefined;
    },
    forgotten: () => undefined,
    holds: async () => false,
    async records(query) {
      // Oldest first from an index on, newest first without, like the real log.
      const ordered = query.from === undefined ? views.toReversed() : views.slice(query.from);
      const start = Number(query.cursor ?? 0);
      const limit = query.limit ?? 100;
      const matching = ordered.filter(
        (view) =>
          (query.principal === undefined || view.principal === query.principal) &&
          (query.resource === undefined || view.resource === query.resource) &&
          (query.outcome === undefined || view.outcome === query.outcome),
      );
      const items = matching.slice(start, start + limit);
      return matching.length > start + limit ? { items, next: String(start + limit) } : { items };
    },
    checkpoint: absent,
    inclusion: absent,
    consistency: absent,
    close: async () => undefined,
  };
}
