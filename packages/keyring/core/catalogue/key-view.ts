import { ALGORITHMS, algorithmWarnings } from "../algorithms.ts";
import { iso } from "../time.ts";
import type { KeyVersionView, KeyView } from "../types.ts";
import { originOf, primaryOf, type KeyRecord, type VersionRecord } from "./key-record.ts";

export function keyView(record: KeyRecord, uses: number): KeyView {
  const primary = primaryOf(record);
  return {
    name: record.name,
    id: record.id,
    algorithm: record.algorithm,
    usages: record.usages,
    exportable: record.exportable,
    ...(record.exportableUntil === undefined ? {} : { exportableUntil: iso(record.exportableUntil) }),
    device: record.device,
    origin: originOf(record, primary),
    labels: record.labels,
    state: primary.state,
    primaryVersion: primary.version,
    versions: record.versions.map((version) => versionView(record, version)),
    createdAt: iso(record.createdAt),
    createdBy: record.createdBy,
    ...(record.rotateEveryDays === undefined ? {} : { rotateEveryDays: record.rotateEveryDays }),
    ...(record.nextRotationAt === undefined ? {} : { nextRotationAt: iso(record.nextRotationAt) }),
    ...(record.useLimit === undefined ? {} : { useLimit: record.useLimit }),
    uses,
    warnings: keyWarnings(record, primary),
  };
}

function versionView(record: KeyRecord, version: VersionRecord): KeyVersionView {
  return {
    version: version.version,
    origin: originOf(record, version),
    state: version.state,
    device: version.device,
    createdAt: iso(version.createdAt),
    ...(version.publicKey === undefined ? {} : { publicKey: version.publicKey }),
    ...(version.activateAt === undefined ? {} : { activateAt: iso(version.activateAt) }),
    ...(version.deactivateAt === undefined ? {} : { deactivateAt: iso(version.deactivateAt) }),
    ...(version.destroyAt === undefined ? {} : { destroyAt: iso(version.destroyAt) }),
    ...(version.destroyedAt === undefined ? {} : { destroyedAt: iso(version.destroyedAt) }),
    ...(version.replaced === undefined ? {} : { replaced: true }),
  };
}

function keyWarnings(record: KeyRecord, primary: VersionRecord): string[] {
  const warnings = [...algorithmWarnings(record.algorithm)];
  const because = primary.reason === undefined ? "" : `: ${primary.reason}`;
  if (primary.state === "suspended") warnings.push(`suspended${because}`);
  if (primary.state === "compromised") warnings.push(`compromised${because}`);
  if (record.exportable) warnings.push("exportable: it may leave its device wrapped under another key");
  if (record.exportableUntil !== undefined && primary.createdAt <= record.exportableUntil)
    warnings.push(`exportable until ${iso(record.exportableUntil)}: wrapped copies may exist outside this device`);
  if (record.origin !== "generated" && record.versions[0]?.state !== "destroyed") {
    const which = primary === record.versions[0] ? record.origin : `version 1 was ${record.origin}`;
    warnings.push(`${which}: copies may exist outside this device`);
  }
  for (const { version, device, replaced, destroying } of record.versions) {
    if (destroying === true)
      warnings.push(`version ${version}: its destruction was begun, and is tried again until ${device} has done it`);
    if (replaced === true)
      warnings.push(`version ${version}: ${device} had another key in its place when it was destroyed, which was left`);
  }
  if (primary.destroyAt !== undefined) warnings.push(`will be destroyed at ${iso(primary.destroyAt)} unless restored`);
  return warnings;
}

/** What the answer to a use must say, for all keys of the record alike. */
export function useWarnings(record: KeyRecord, version: VersionRecord): readonly string[] {
  if (version.state === "compromised") return ["the key is compromised: what it protected may be forged or known"];
  if (version.state === "suspended") return ["the key is suspended: accept at your own risk"];
  return ALGORITHMS[record.algorithm].approval === "approved" ? NO_WARNINGS : algorithmWarnings(record.algorithm);
}

const NO_WARNINGS: readonly string[] = Object.freeze([]);
