import type { Bundle } from "./bundle.ts";

/** What the host tells a guest before its first module runs. Travels on the guest's standard input. */
export interface BootMessage extends Bundle {
  /** What `ps` shows. */
  readonly title: string;
  readonly guest: {
    readonly secureHeapBytes: number;
    /** Numbers of the descriptors passed on: 4, 5, … */
    readonly descriptors: readonly number[];
    /** Hexadecimal; for guests built for tests. */
    readonly testSeed?: string;
  };
}

/** Where the guest half finds its part of the boot message. */
export const BOOT_SYMBOL = "casemate.boundary.boot";

/**
 * Given to `node -e`: reads the boot message, loads the entry from it. Modules come from memory, so the process starts
 * with no permission to read any file.
 */
export const BOOT_SCRIPT = `
const { modules, entry, title, guest } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
process.title = title;
globalThis[Symbol.for("${BOOT_SYMBOL}")] = guest;
const known = new Map(Object.entries(modules));
require("node:module").registerHooks({
  resolve(specifier, context, next) {
    const url = specifier === entry ? entry : known.get(context.parentURL)?.imports[specifier];
    return url === undefined ? next(specifier, context) : { url, format: "module", shortCircuit: true };
  },
  load(url, context, next) {
    const module = known.get(url);
    if (module === undefined) return next(url, context);
    return { format: "module", source: module.source, shortCircuit: true };
  },
});
import(entry).catch((error) => { console.error(error); process.exit(70); });
`;
