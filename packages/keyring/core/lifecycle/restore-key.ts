import { CasemateError } from "@casemate/foundation/errors";
import { changeKey } from "../catalogue/save.ts";
import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";
import { BEGUN, versionOf } from "../use/select.ts";
import { without, withVersion } from "./versions.ts";

/** Calls a waiting destruction off: versions go back to the state before it. */
export function restoreKey(core: Core): Keyring["restoreKey"] {
  return (caller, name, options = {}) =>
    changeKey(core, caller, "key.restore", name, (record, note) => {
      const targets = (options.version === undefined ? record.versions : [versionOf(record, options.version)]).filter(
        (version) => version.destroyAt !== undefined && !version.destroying,
      );
      note.details = { versions: targets.length };
      if (targets.length === 0) {
        const begun = record.versions.some(({ destroying }) => destroying === true);
        throw new CasemateError("KEY_STATE", `nothing of ${name} waits for destruction`, {
          hint: begun ? BEGUN : "What is destroyed stays destroyed.",
        });
      }
      return targets.reduce(
        (sofar, version) =>
          withVersion(sofar, {
            ...without(version, "destroyAt", "stateBefore"),
            state: version.stateBefore ?? version.state,
          }),
        record,
      );
    });
}
