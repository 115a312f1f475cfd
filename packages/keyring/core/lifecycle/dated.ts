import type { KeyRecord, VersionRecord } from "../catalogue/key-record.ts";
import { without, withVersion } from "./versions.ts";

/** When the version's own date changes its state next; Infinity for never. One that waits for destruction has no other date. */
export function nextDate(version: VersionRecord): number {
  if (version.destroying || version.destroyAt !== undefined) return Infinity;
  if (version.state === "pre-active") return version.activateAt ?? Infinity;
  if (version.state === "active" || version.state === "suspended") return version.deactivateAt ?? Infinity;
  return Infinity;
}

/** The version as its dates have it now. */
function dated(version: VersionRecord, now: number): VersionRecord {
  let next = version;
  if (next.state === "pre-active" && nextDate(next) <= now)
    next = { ...without(next, "reason", "activateAt"), state: "active" };
  if (next.state !== "pre-active" && nextDate(next) <= now)
    next = { ...without(next, "reason", "deactivateAt"), state: "deactivated" };
  return next;
}

/** The record as its dates have it now, whether the schedule has written that down or not; itself when nothing is due. */
export function datedRecord(record: KeyRecord, now: number): KeyRecord {
  let current = record;
  for (const version of record.versions) {
    const next = dated(version, now);
    if (next !== version) current = withVersion(current, next);
  }
  return current;
}

/** What the dates did between the two, one word for each version. */
export function datesDone(before: KeyRecord, after: KeyRecord): readonly string[] {
  return after.versions
    .filter((version, index) => version !== before.versions[index])
    .map((version) => (version.state === "active" ? "activate" : "deactivate"));
}
