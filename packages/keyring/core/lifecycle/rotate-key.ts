import { CasemateError } from "@casemate/foundation/errors";
import { keepNew, withMaterial } from "../catalogue/add.ts";
import { primaryOf, type KeyRecord, type VersionRecord } from "../catalogue/key-record.ts";
import { alone, viewOf } from "../catalogue/save.ts";
import { holderOf, type Core } from "../core.ts";
import type { Note } from "../guard.ts";
import { DAY_MS } from "../time.ts";
import type { Keyring } from "../types.ts";
import { without } from "./versions.ts";

/** More would make the row unwieldy; destroyed versions count, since their history is kept. */
const MAX_VERSIONS = 1000;

export function rotateKey(core: Core): Keyring["rotateKey"] {
  return (caller, name) =>
    alone(core, caller, "key.rotate", name, async (record, note) => viewOf(core, await rotate(core, record, note)));
}

/** A new active version; the one before is deactivated in the same commit: it verifies and decrypts, no more. */
export async function rotate(core: Core, record: KeyRecord, note: Note): Promise<KeyRecord> {
  const primary = primaryOf(record);
  if (primary.state === "destroyed" || primary.destroyAt !== undefined || primary.destroying)
    throw new CasemateError("KEY_STATE", `${record.name} is destroyed or waits for it: it cannot be rotated`, {
      hint: primary.destroyAt === undefined ? "Create a new key." : "Restore it first.",
    });
  if (primary.state === "pre-active")
    throw new CasemateError("KEY_STATE", `${record.name} is not active yet: there is nothing to rotate`, {
      hint: "Activate it first.",
    });
  if (record.origin === "adopted")
    throw new CasemateError("NOT_SUPPORTED", `${record.name} was adopted from its device: Casemate did not make it`, {
      hint: "Create a new key in its place.",
    });
  if (record.versions.length >= MAX_VERSIONS)
    throw new CasemateError("KEY_LIMIT", `${record.name} has ${MAX_VERSIONS} versions, the most there can be`, {
      hint: "Create a new key in its place.",
    });
  const now = core.clock.now();
  const version = (record.versions.at(-1)?.version ?? 0) + 1;
  note.details = { ...note.details, version };
  const device = holderOf(core, record.device);
  const made = await device.keys.generate({
    algorithm: record.algorithm,
    usages: record.usages,
    exportable: record.exportable,
    label: `${record.name}.v${version}`,
  });
  // The end that was set for the key is that of whatever version it has then.
  const { deactivateAt } = primary;
  const fresh: VersionRecord = {
    version,
    state: "active",
    device: record.device,
    createdAt: now,
    ...(deactivateAt === undefined || deactivateAt <= now ? {} : { deactivateAt }),
  };
  const next: KeyRecord = {
    ...record,
    versions: [...record.versions.map(retired), fresh],
    ...(record.rotateEveryDays === undefined ? {} : { nextRotationAt: now + record.rotateEveryDays * DAY_MS }),
  };
  return keepNew(core, device, withMaterial(next, made), made, note);
}

function retired(version: VersionRecord): VersionRecord {
  if (version.state !== "active" && version.state !== "suspended") return version;
  return { ...without(version, "deactivateAt"), state: "deactivated" };
}
