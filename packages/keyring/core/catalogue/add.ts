import type { Device, NewKey } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import type { Action } from "../actions.ts";
import { holderOf, type Core } from "../core.ts";
import type { Note } from "../guard.ts";
import type { Row } from "../store.ts";
import type { Caller, CreateKey, KeyView } from "../types.ts";
import { draftKey } from "./draft.ts";
import { refDigest, type KeyRecord } from "./key-record.ts";
import { saveKey, viewOf } from "./save.ts";

/**
 * Adds a key in the crash-safe order: the device makes it, then the row is committed, then the caller hears of it.
 * A crash in between leaves at most an orphan in the device, never half a row.
 */
export function addKey(
  core: Core,
  caller: Caller,
  action: Action,
  request: CreateKey,
  origin: KeyRecord["origin"],
  make: (device: Device, draft: KeyRecord, note: Note) => Promise<NewKey>,
): Promise<KeyView> {
  return core.locks.run(`key/${request.name}`, () =>
    core.guard.newKey(
      caller,
      action,
      request.name,
      () => draftKey(core, caller, request, origin),
      async (draft, note) => {
        note.details = { algorithm: draft.algorithm, device: draft.device };
        const namesake = await core.store.get("key", "name", draft.name);
        if (namesake !== undefined) throw nameTaken(namesake);
        const device = holderOf(core, draft.device);
        const made = await make(device, draft, note);
        return viewOf(core, await keepNew(core, device, withMaterial(draft, made), made, note));
      },
    ),
  );
}

/** A destroyed key has no versions to come, and keeps its name: records of the audit log speak of it. */
function nameTaken({ index: { name, state } }: Row): CasemateError {
  const destroyed = state === "destroyed";
  return new CasemateError(
    "ALREADY_EXISTS",
    destroyed ? `a key was called ${name}, and is destroyed` : `a key is called ${name} already`,
    {
      hint: destroyed
        ? "Choose another name: the name of a destroyed key is not used again."
        : "Choose another name, or rotate the key to get a new version.",
    },
  );
}

/** Commits a record whose newest version was just made; on failure takes the new key out of the device again. */
export async function keepNew(
  core: Core,
  device: Device,
  record: KeyRecord,
  made: NewKey,
  note: Note,
): Promise<KeyRecord> {
  try {
    return await saveKey(core, record, note);
  } catch (error) {
    if (record.origin !== "adopted")
      await discard(core, device, record, made).catch((cause: unknown) =>
        core.log(`an orphan of key ${record.name} stays in ${device.identity.id}`, cause),
      );
    throw error;
  }
}

/** A commit that failed may still have happened: only what no row points to is destroyed. */
async function discard(core: Core, device: Device, record: KeyRecord, made: NewKey): Promise<void> {
  const row = await core.store.get("key", "id", record.id);
  if (row === undefined || row.index["ref"] !== refDigest(made.ref)) await device.keys.destroy(made.ref);
}

/** The record with reference and public key of its newest version filled in. */
export function withMaterial(record: KeyRecord, made: NewKey): KeyRecord {
  return {
    ...record,
    versions: record.versions.map((version, index) =>
      index < record.versions.length - 1
        ? version
        : {
            ...version,
            ref: made.ref,
            ...(made.publicKey === undefined ? {} : { publicKey: made.publicKey }),
          },
    ),
  };
}
