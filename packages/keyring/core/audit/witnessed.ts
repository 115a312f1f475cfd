import type { WitnessedLog } from "@casemate/devices/contract";
import { equalBytes } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import type { AuditRecordView } from "../types.ts";

/** What a device has witnessed of a log, without the key. */
export type Witnessed = Omit<WitnessedLog, "publicKey"> & { readonly device: string };

/** The log that is held against it. */
export interface ComparedLog {
  readonly origin: string;
  /** Records. */
  readonly size: number;
  /** Records when the server opened it: what a refusing server adds meanwhile makes no log longer. Absent for as many as `size`. */
  readonly began?: number;
  rootAt(size: number): Promise<Uint8Array> | Uint8Array;
}

export const WITNESS_HINT =
  "Restore database, audit log and devices from the same backup. To go on with this log on purpose: casemate up --accept-older-log, once.";

/** Why the records are not a continuation of what was witnessed; undefined when they are. */
export async function notContinued(log: ComparedLog, seen: Witnessed): Promise<string | undefined> {
  const { device, size } = seen;
  if (seen.origin !== log.origin)
    return `the audit log was replaced: the device ${device} has witnessed ${seen.origin}, this is ${log.origin}`;
  const began = log.began ?? log.size;
  if (size <= log.size && equalBytes(await log.rootAt(size), seen.root)) return undefined;
  if (size > began)
    return `the audit log was rolled back: the device ${device} has witnessed ${size} records, it holds ${began}`;
  return `the audit log was rolled back or changed: its first ${size} records are not those that the device ${device} has witnessed`;
}

/**
 * Whether a record keeps the same finding: its words and numbers stand, since the log has grown by those who asked since. `found` is the
 * device and how much it has witnessed.
 */
export function keepsFinding(
  record: AuditRecordView,
  found: { readonly device: unknown; readonly witnessed: unknown },
): boolean {
  const { source, outcome, details } = record;
  return (
    source === "keyring" &&
    outcome === "TAMPER_DETECTED" &&
    details["device"] === found.device &&
    details["witnessed"] === found.witnessed
  );
}

/** How far the checkpoints go that are kept: the newest of the file of the newest, and of the history; 0 where there is none. */
export interface Kept {
  readonly newest: number;
  readonly history: number;
}

/** What of them is left where the newest is not of `wanted`. */
export function leftOf({ newest, history }: Kept, wanted: number): string {
  if (newest === 0 && history === 0) return "none is kept";
  if (history < wanted) return `the newest kept is of ${Math.max(newest, history)}`;
  const file = newest === 0 ? "is gone" : `is of ${newest}`;
  return `the file audit/checkpoint of the newest ${file}, while the history audit/checkpoints has those up to ${history}`;
}

/**
 * Which checkpoints are gone; undefined for none. The newest one may be missing lawfully, when the process ended between the device's
 * memory and the file: the next start makes it again before it makes another.
 */
export function notKept(kept: Kept, { device, size, before }: Witnessed): string | undefined {
  if (kept.newest >= before) return undefined;
  return `checkpoints were removed: the device ${device} signed those of ${before} and ${size} records, and ${leftOf(kept, before)}`;
}

export function rolledBack(message: string, details: Readonly<Record<string, string | number>>): CasemateError {
  return new CasemateError("TAMPER_DETECTED", message, { hint: WITNESS_HINT, details });
}
