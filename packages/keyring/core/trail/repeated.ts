import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";

/** The answer is already known; whether the caller may have it, and that it was given, is not. */
export function repeated(core: Core): Keyring["repeated"] {
  const details = { repeated: true };
  return (caller, action, key) =>
    key === undefined
      ? core.guard.keyring(caller, action, "", () => Promise.resolve(), details)
      : core.guard.key(caller, action, key, (_entry, note) => {
          note.details = details;
          return Promise.resolve();
        });
}
