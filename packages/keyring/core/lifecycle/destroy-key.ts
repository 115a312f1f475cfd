import type { KeyRef } from "@casemate/devices/contract";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import type { KeyRecord, VersionRecord } from "../catalogue/key-record.ts";
import { keyEntry } from "../catalogue/key-cache.ts";
import { alone, saveKey, viewOf } from "../catalogue/save.ts";
import { holderOf, type Core } from "../core.ts";
import type { Note } from "../guard.ts";
import { DAY_MS, iso } from "../time.ts";
import type { Keyring } from "../types.ts";
import { BEGUN, expectingRef, versionOf } from "../use/select.ts";
import { without, withVersion } from "./versions.ts";

const WAIT_DAYS = 7;
/** Longest waiting period. */
export const MAX_WAIT_DAYS = 365;

export function destroyKey(core: Core): Keyring["destroyKey"] {
  return (caller, name, options = {}) =>
    alone(core, caller, options.now ? "key.destroy-now" : "key.destroy", name, async (record, note) => {
      const targets = (options.version === undefined ? record.versions : [versionOf(record, options.version)]).filter(
        (version) => version.state !== "destroyed",
      );
      note.details = { versions: targets.length };
      if (targets.length === 0) throw new CasemateError("KEY_STATE", `${name} is destroyed already`);
      if (options.now) {
        if (options.waitDays !== undefined)
          throw new CasemateError("BAD_REQUEST", "waitDays and now exclude each other");
        return viewOf(core, await destroyVersions(core, record, targets, note));
      }
      const days = options.waitDays ?? WAIT_DAYS;
      if (!Number.isInteger(days) || days < 1 || days > MAX_WAIT_DAYS)
        throw new CasemateError("BAD_REQUEST", `waitDays must be a whole number from 1 to ${MAX_WAIT_DAYS}`, {
          hint: `It is ${WAIT_DAYS} when left out; to destroy at once, say so with now.`,
        });
      const destroyAt = core.clock.now() + days * DAY_MS;
      note.details = { ...note.details, destroyAt: iso(destroyAt) };
      const next = targets.reduce((sofar, version) => withVersion(sofar, condemned(version, destroyAt)), record);
      return viewOf(core, await saveKey(core, next, note));
    });
}

/** Waiting for destruction: protects nothing any more, processes what exists, and can be restored. */
function condemned(version: VersionRecord, destroyAt: number): VersionRecord {
  const stops = version.state === "active" || version.state === "suspended";
  return {
    ...version,
    destroyAt,
    stateBefore: version.stateBefore ?? version.state,
    ...(stops ? { state: "deactivated" } : {}),
  };
}

/**
 * Destroys now: the intent is committed, the device destroys, the outcome is committed. Interrupted anywhere, the
 * schedule finishes it. Afterwards the record keeps no reference.
 */
export async function destroyVersions(
  core: Core,
  record: KeyRecord,
  targets: readonly VersionRecord[],
  note?: Note,
): Promise<KeyRecord> {
  let current = record;
  if (targets.some((version) => !version.destroying)) {
    const intent = targets.reduce((sofar, version) => withVersion(sofar, { ...version, destroying: true }), record);
    current = await saveKey(core, intent, note);
  }
  const replaced = new Set<number>();
  for (const target of targets) {
    const version = versionOf(current, target.version);
    if (version.ref === undefined) continue;
    const done = await destroyIn(core, version, version.ref).catch((error: unknown) =>
      Promise.reject(unfinished(error)),
    );
    if (done === "replaced") replaced.add(version.version);
  }
  if (replaced.size > 0 && note !== undefined) note.details = { ...note.details, replaced: replaced.size };
  const now = core.clock.now();
  const done = targets.reduce((sofar, { version }) => {
    const ended = gone(versionOf(sofar, version), now);
    return withVersion(sofar, replaced.has(version) ? { ...ended, replaced: true } : ended);
  }, current);
  return saveKey(core, settled(done), note);
}

/** Destroys what is this key, and only that: what somebody put in its place is theirs. */
async function destroyIn(core: Core, version: VersionRecord, ref: KeyRef): Promise<"gone" | "replaced"> {
  const device = holderOf(core, version.device);
  const own = expectingRef(device, ref, version.publicKey);
  try {
    await device.keys.destroy(own);
    return "gone";
  } catch (error) {
    if (!isCasemateError(error)) throw error;
    // Destroyed before an interruption, or by the device itself.
    if (error.code === "NOT_FOUND") return "gone";
    if (error.code === "TAMPER_DETECTED" && own !== ref) return "replaced";
    throw error;
  }
}

/** Whoever asked hears that it goes on: to ask again is not needed, and nothing calls it off. */
function unfinished(error: unknown): unknown {
  if (!isCasemateError(error)) return error;
  const { code, message, hint, details } = error;
  return new CasemateError(code, message, {
    hint: hint === undefined ? BEGUN : `${hint} ${BEGUN}`,
    details,
    cause: error,
  });
}

export function gone(version: VersionRecord, now: number): VersionRecord {
  return {
    ...without(version, "ref", "destroying", "destroyAt", "stateBefore", "activateAt", "deactivateAt"),
    state: "destroyed",
    destroyedAt: now,
  };
}

/** A key with no version left has nothing to rotate. */
export function settled(record: KeyRecord): KeyRecord {
  if (keyEntry(record).primary.state !== "destroyed") return record;
  const { rotateEveryDays: _days, nextRotationAt: _next, ...rest } = record;
  return rest;
}
