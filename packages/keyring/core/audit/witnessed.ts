import type { WitnessedLog } from "@casemate/devices/contract";
import { equalBytes } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";

/** What a device has witnessed of a log, without the key. */
export type Witnessed = Omit<WitnessedLog, "publicKey"> & { readonly device: string };

/** The log that is held against it. */
export interface ComparedLog {
  readonly origin: string;
  /** Records. */
  readonly size: number;
  rootAt(size: number): Promise<Uint8Array> | Uint8Array;
}

export const WITNESS_HINT =
  "Restore database, audit log and devices from the same backup. To go on with the older log on purpose: casemate up --accept-older-log, once.";

/** Why the records are not a continuation of what was witnessed; undefined when they are. */
export async function notContinued(log: ComparedLog, seen: Witnessed): Promise<string | undefined> {
  const { device, size } = seen;
  if (seen.origin !== log.origin)
    return `the audit log was replaced: the device ${device} has witnessed ${seen.origin}, this is ${log.origin}`;
  if (size > log.size)
    return `the audit log was rolled back: the device ${device} has witnessed ${size} records, it holds ${log.size}`;
  if (!equalBytes(await log.rootAt(size), seen.root))
    return `the audit log was rolled back or changed: its first ${size} records are not those that the device ${device} has witnessed`;
  return undefined;
}

/**
 * Which checkpoints are gone; undefined for none. The newest one may be missing lawfully, when the process ended between the device's
 * memory and the file: the next start makes it again before it makes another.
 */
export function notKept(newestKept: number, { device, size, before }: Witnessed): string | undefined {
  if (newestKept >= before) return undefined;
  const kept = newestKept === 0 ? "none is kept" : `the newest kept is of ${newestKept}`;
  return `checkpoints were removed: the device ${device} signed those of ${before} and ${size} records, and ${kept}`;
}

export function rolledBack(message: string, details: Readonly<Record<string, string | number>>): CasemateError {
  return new CasemateError("TAMPER_DETECTED", message, { hint: WITNESS_HINT, details });
}
