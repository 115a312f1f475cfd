import type { KeyRecord, VersionRecord } from "../catalogue/key-record.ts";

/** The record with one version replaced. */
export function withVersion(record: KeyRecord, next: VersionRecord): KeyRecord {
  return {
    ...record,
    versions: record.versions.map((version) => (version.version === next.version ? next : version)),
  };
}

type Clearable = "activateAt" | "deactivateAt" | "destroyAt" | "stateBefore" | "destroying" | "reason" | "ref";

/** A copy without the named fields. */
export function without(version: VersionRecord, ...fields: readonly Clearable[]): VersionRecord {
  return Object.fromEntries(
    Object.entries(version).filter(([field]) => !(fields as readonly string[]).includes(field)),
  ) as unknown as VersionRecord;
}
