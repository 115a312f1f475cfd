import { CasemateError } from "@casemate/foundation/errors";
import type { Action } from "../actions.ts";
import { primaryOf, type KeyRecord, type VersionRecord } from "../catalogue/key-record.ts";
import { changeKey } from "../catalogue/save.ts";
import type { Core } from "../core.ts";
import { checkWellFormed } from "../text.ts";
import { DAY_MS } from "../time.ts";
import type { Keyring, Transition } from "../types.ts";
import { versionOf } from "../use/select.ts";
import { MOVES } from "./states.ts";
import { without, withVersion } from "./versions.ts";

const ACTION: Readonly<Record<Transition, Action>> = {
  activate: "key.activate",
  suspend: "key.suspend",
  resume: "key.resume",
  deactivate: "key.deactivate",
  compromise: "key.compromise",
};
const MAX_REASON = 256;

export function transition(core: Core): Keyring["transition"] {
  return (caller, name, move, options = {}) =>
    changeKey(core, caller, ACTION[move], name, (record, note) => {
      if (options.reason !== undefined && options.reason.length > MAX_REASON)
        throw new CasemateError("BAD_REQUEST", `a reason has at most ${MAX_REASON} characters`);
      checkWellFormed("a reason", options.reason);
      const version = options.version === undefined ? primaryOf(record) : versionOf(record, options.version);
      note.details = { version: version.version, from: version.state };
      const next = moved(record, version, move, options.reason);
      note.details = { ...note.details, to: next.state };
      return rearmed(withVersion(record, next), move, core.clock.now());
    });
}

/** A key's time until rotation begins with its activation; what fell due while it was suspended is due when it is resumed. */
function rearmed(record: KeyRecord, move: Transition, now: number): KeyRecord {
  const days = record.rotateEveryDays;
  if (move !== "activate" || days === undefined) return record;
  return { ...record, nextRotationAt: now + days * DAY_MS };
}

/** What a move is called once it is made. */
const DONE: Readonly<Record<Transition, string>> = {
  activate: "activated",
  suspend: "suspended",
  resume: "resumed",
  deactivate: "deactivated",
  compromise: "marked as compromised",
};

/** @throws KEY_STATE when the move does not start from here. */
export function moved(record: KeyRecord, version: VersionRecord, move: Transition, reason?: string): VersionRecord {
  const { from, to } = MOVES[move];
  if (!from.includes(version.state) || (version.destroyAt !== undefined && move !== "compromise") || version.destroying)
    throw new CasemateError(
      "KEY_STATE",
      `version ${version.version} of ${record.name} is ${version.destroyAt === undefined ? version.state : "waiting for destruction"}: it cannot be ${DONE[move]}`,
      {
        hint: version.destroyAt === undefined ? `That is done from: ${from.join(", ")}.` : "Restore it first.",
        details: { state: version.state, version: version.version },
      },
    );
  const cleared = without(
    version,
    "reason",
    ...(to === "active" && move === "activate" ? (["activateAt"] as const) : []),
    ...(to === "deactivated" ? (["deactivateAt"] as const) : []),
    // A compromised key waiting for destruction stays compromised when restored.
    ...(to === "compromised" ? (["activateAt", "deactivateAt", "stateBefore"] as const) : []),
  );
  return { ...cleared, state: to, ...(reason === undefined ? {} : { reason }) };
}
