import type { Core } from "../core.ts";
import type { Keyring } from "../types.ts";

const MAX_ACTION = 128;

/** `action` is what the interface made of the request: a route, a verb; it is cut to 128 characters. */
export function refused(core: Core): Keyring["refused"] {
  return async (caller, source, action, error) => {
    core.metrics.add(`casemate_refused_total{outcome="${error.code}"}`);
    await core.recorder.append({
      principal: caller?.principal ?? "",
      source,
      ...(caller?.token === undefined ? {} : { token: caller.token }),
      ...(caller?.requestId === undefined ? {} : { requestId: caller.requestId }),
      action: "refused",
      resource: "",
      outcome: error.code,
      count: 1,
      details: { request: action.slice(0, MAX_ACTION) },
    });
  };
}
