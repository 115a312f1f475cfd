import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * A full garbage collection on demand: libcrypto frees a key only when its JavaScript object is collected.
 * Undefined where the engine does not give it out.
 */
export function garbageCollector(): (() => void) | undefined {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("globalThis.gc");
  return typeof collect === "function" ? (collect as () => void) : undefined;
}
