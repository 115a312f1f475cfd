import { resolve } from "node:path";
import type { Command } from "commander";
import type { DeviceConfig } from "@casemate/server/devices-file";
import { usage } from "./failure.ts";
import { whole } from "./parse.ts";

type Settings = Readonly<Record<string, string | number | boolean>>;
type Options = Readonly<Record<string, unknown>>;

/** What `device add NAME` takes, and what it writes to devices.json for the driver of that name. */
export interface AddableDriver {
  readonly name: string;
  readonly summary: string;
  /** Beginning of the id when none is given: `hsm` makes `hsm-2`. */
  readonly idPrefix: string;
  options(command: Command): void;
  /** @throws a usage error for settings that cannot be. */
  settings(options: Options): Settings;
}

/** The settings that were given, as plain values. */
function picked(options: Options, names: readonly string[]): Settings {
  const chosen: Record<string, string | number | boolean> = {};
  for (const name of names) {
    const value = options[name];
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") chosen[name] = value;
  }
  return chosen;
}

const ROOTS = ["key-file", "passphrase"];

export const ADDABLE_DRIVERS: readonly AddableDriver[] = [
  {
    name: "virtual-hsm",
    summary: "a further virtual HSM in a process of its own",
    idPrefix: "hsm",
    options: (command) =>
      void command
        .option("--root <kind>", `what unlocks it: ${ROOTS.join(" or ")}`, "key-file")
        .option("--secure-heap-bytes <bytes>", "a power of two", whole("--secure-heap-bytes", 65_536, 1_073_741_824)),
    settings: (options) => {
      if (!ROOTS.includes(String(options["root"]))) throw usage(`--root takes ${ROOTS.join(" or ")}`);
      return picked(options, ["root", "secureHeapBytes"]);
    },
  },
  {
    name: "pkcs11",
    summary: "an HSM or token behind its maker's PKCS#11 module",
    idPrefix: "p11",
    options: (command) =>
      void command
        .requiredOption("--module <file>", "the maker's library, e.g. /usr/lib/softhsm/libsofthsm2.so")
        .requiredOption("--token <label>", "label of the token in it")
        .requiredOption("--pin-file <file>", "file with the user PIN; the PIN itself is never an argument"),
    settings: (options) => {
      const settings = picked(options, ["module", "token", "pinFile"]);
      const file = (name: string): string => {
        const text = String(settings[name]);
        return text.includes("/") ? resolve(text) : text;
      };
      return { ...settings, module: file("module"), pinFile: resolve(String(settings["pinFile"])) };
    },
  },
];

/** The first free `prefix-N`. */
export function freeId(prefix: string, devices: readonly DeviceConfig[]): string {
  for (let n = 1; ; n++) if (!devices.some(({ id }) => id === `${prefix}-${n}`)) return `${prefix}-${n}`;
}
