import { createHash } from "node:crypto";
import { fromBase64, toBase64 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import type { KeyAlgorithm, Usage } from "@casemate/devices/contract";
import { nextDate } from "../lifecycle/dated.ts";
import type { Row } from "../store.ts";
import type { KeyOrigin, KeyState } from "../types.ts";

/** Times are milliseconds since the epoch. */
export interface VersionRecord {
  readonly version: number;
  readonly state: KeyState;
  readonly device: string;
  /** Gone once the version is destroyed. */
  readonly ref?: Uint8Array;
  readonly publicKey?: Uint8Array;
  readonly createdAt: number;
  readonly activateAt?: number;
  readonly deactivateAt?: number;
  readonly destroyAt?: number;
  readonly destroyedAt?: number;
  /** When it was to be destroyed, its device had another key in its place, which was left. */
  readonly replaced?: true;
  /** State to go back to when the destruction is called off. */
  readonly stateBefore?: KeyState;
  /** Destruction has begun: the device may or may not have destroyed the key already. */
  readonly destroying?: true;
  readonly reason?: string;
}

export interface KeyRecord {
  readonly id: string;
  readonly name: string;
  readonly revision: number;
  readonly algorithm: KeyAlgorithm;
  readonly usages: readonly Usage[];
  readonly exportable: boolean;
  /** When that was given up: versions from before may have left wrapped. */
  readonly exportableUntil?: number;
  readonly device: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: number;
  readonly createdBy: string;
  /** Of the first version: what a rotation adds is generated. */
  readonly origin: KeyOrigin;
  readonly rotateEveryDays?: number;
  readonly nextRotationAt?: number;
  readonly useLimit?: number;
  /** Oldest first; numbers grow by one from 1. */
  readonly versions: readonly VersionRecord[];
}

/** The newest active version, else the newest not destroyed, else the newest. */
export function primaryOf(record: KeyRecord): VersionRecord {
  const newest = record.versions.at(-1);
  if (newest === undefined) throw new CasemateError("TAMPER_DETECTED", `key ${record.name} has no version`);
  if (newest.state === "active") return newest;
  return (
    record.versions.findLast((version) => version.state === "active") ??
    record.versions.findLast((version) => version.state !== "destroyed") ??
    newest
  );
}

export function originOf(record: KeyRecord, version: VersionRecord): KeyOrigin {
  return version === record.versions[0] ? record.origin : "generated";
}

/** When the key is rotated by date; Infinity for never. While it is not active the date waits, and may pass. */
export function rotationDue(record: KeyRecord): number {
  const { state, destroyAt, destroying } = primaryOf(record);
  if (state !== "active" || destroyAt !== undefined || destroying === true) return Infinity;
  return record.nextRotationAt ?? Infinity;
}

/** When the schedule must look at the key next; undefined for never. 0 means an interrupted destruction. */
export function dueOf(record: KeyRecord): number | undefined {
  let due = rotationDue(record);
  for (const version of record.versions) {
    if (version.destroying) return 0;
    due = Math.min(due, version.destroyAt ?? nextDate(version));
  }
  return due === Infinity ? undefined : due;
}

export function refDigest(ref: Uint8Array): string {
  return createHash("sha256").update(ref).digest("hex");
}

export function toRow(record: KeyRecord): Row {
  const { revision, ...rest } = record;
  const primary = primaryOf(record);
  const newest = record.versions.at(-1);
  return {
    id: record.id,
    revision,
    body: JSON.stringify({ ...rest, versions: record.versions.map(versionToJson) }),
    index: {
      name: record.name,
      device: record.device,
      state: primary.state,
      algorithm: record.algorithm,
      due: dueOf(record) ?? null,
      ref: newest?.ref === undefined ? null : refDigest(newest.ref),
    },
  };
}

/** The body was written by `toRow` and verified by the store. */
export function fromRow(row: Row): KeyRecord {
  const body = JSON.parse(row.body) as Omit<KeyRecord, "revision" | "versions"> & { versions: VersionJson[] };
  return { ...body, revision: row.revision, versions: body.versions.map(versionFromJson) };
}

type VersionJson = Omit<VersionRecord, "ref" | "publicKey"> & { readonly ref?: string; readonly publicKey?: string };

function versionToJson(version: VersionRecord): VersionJson {
  const { ref, publicKey, ...rest } = version;
  return {
    ...rest,
    ...(ref === undefined ? {} : { ref: toBase64(ref) }),
    ...(publicKey === undefined ? {} : { publicKey: toBase64(publicKey) }),
  };
}

function versionFromJson(json: VersionJson): VersionRecord {
  const { ref, publicKey, ...rest } = json;
  return {
    ...rest,
    ...(ref === undefined ? {} : { ref: fromBase64(ref) }),
    ...(publicKey === undefined ? {} : { publicKey: fromBase64(publicKey) }),
  };
}
