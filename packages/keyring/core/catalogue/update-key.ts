import { CasemateError } from "@casemate/foundation/errors";
import type { Core } from "../core.ts";
import { DAY_MS, parseTime } from "../time.ts";
import type { Keyring, UpdateKey } from "../types.ts";
import { checkDates, checkLabels, checkRotation, checkUseLimit } from "./draft.ts";
import { primaryOf, type KeyRecord, type VersionRecord } from "./key-record.ts";
import { changeKey } from "./save.ts";

/** `null` takes a setting away; dates are those of the primary version. */
export function updateKey(core: Core): Keyring["updateKey"] {
  return (caller, name, change) =>
    changeKey(core, caller, "key.update", name, (record, note) => {
      note.details = { fields: Object.keys(change).toSorted().join(",") };
      return updated(record, change, core.clock.now());
    });
}

function updated(record: KeyRecord, change: UpdateKey, now: number): KeyRecord {
  const { rotateEveryDays, nextRotationAt, useLimit, ...rest } = record;
  if (change.labels !== undefined) checkLabels(change.labels);
  if (typeof change.rotateEveryDays === "number") checkRotation(change.rotateEveryDays);
  if (typeof change.useLimit === "number") checkUseLimit(change.useLimit);
  const days = change.rotateEveryDays === undefined ? rotateEveryDays : (change.rotateEveryDays ?? undefined);
  const versions = redated(record, change, now);
  const primary = primaryOf({ ...record, versions });
  if (typeof change.rotateEveryDays === "number" && primary.state === "destroyed")
    throw new CasemateError("KEY_STATE", `${record.name} is destroyed: there is nothing to rotate`, {
      hint: "Create a new key.",
    });
  const redate = change.rotateEveryDays !== undefined || (change.activateAt !== undefined && days !== undefined);
  const begins = primary.activateAt ?? primary.createdAt;
  const next = redate && days !== undefined ? Math.max(begins + days * DAY_MS, now) : nextRotationAt;
  const limit = change.useLimit === undefined ? useLimit : (change.useLimit ?? undefined);
  return {
    ...rest,
    labels: change.labels === undefined ? record.labels : { ...change.labels },
    versions,
    exportable: record.exportable && change.exportable !== false,
    ...(record.exportable && change.exportable === false ? { exportableUntil: now } : {}),
    ...(days === undefined ? {} : { rotateEveryDays: days, nextRotationAt: next ?? now }),
    ...(limit === undefined ? {} : { useLimit: limit }),
  };
}

function redated(record: KeyRecord, change: UpdateKey, now: number): readonly VersionRecord[] {
  if (change.activateAt === undefined && change.deactivateAt === undefined) return record.versions;
  const primary = primaryOf(record);
  const { activateAt, deactivateAt, ...rest } = primary;
  if (change.activateAt !== undefined && primary.state !== "pre-active")
    throw new CasemateError("KEY_STATE", `${record.name} is ${primary.state}: its activation date is history`);
  if (change.deactivateAt !== undefined && !["pre-active", "active", "suspended"].includes(primary.state))
    throw new CasemateError("KEY_STATE", `${record.name} is ${primary.state}: its deactivation date is history`);
  const activate = dateOf("activateAt", change.activateAt, activateAt);
  const deactivate = dateOf("deactivateAt", change.deactivateAt, deactivateAt);
  if (change.deactivateAt !== undefined || change.activateAt !== undefined) checkDates(now, activate, deactivate);
  const next: VersionRecord = {
    ...rest,
    ...(activate === undefined ? {} : { activateAt: activate }),
    ...(deactivate === undefined ? {} : { deactivateAt: deactivate }),
  };
  return record.versions.map((version) => (version === primary ? next : version));
}

function dateOf(field: string, wanted: string | null | undefined, present: number | undefined): number | undefined {
  if (wanted === undefined) return present;
  return wanted === null ? undefined : parseTime(field, wanted);
}
