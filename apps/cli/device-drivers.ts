import { closeSync, existsSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { CasemateError } from "@casemate/foundation/errors";
import type { DeviceConfig } from "@casemate/server/devices-file";
import { ROOT_KINDS } from "@casemate/server/options";
import { ChoiceOption } from "./choices.ts";
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
  /** What only this machine and the other devices tell. @throws CONFIG_INVALID, NOT_FOUND, NOT_SUPPORTED, ALREADY_EXISTS. */
  check?(settings: Settings, devices: readonly DeviceConfig[]): Promise<void>;
}

/** @throws a usage error for what the device would end on at its start. */
function heapBytes(text: string): number {
  const option = "--secure-heap-bytes";
  const bytes = whole(option, 65_536, 1_073_741_824)(text);
  if ((bytes & (bytes - 1)) !== 0) throw usage(`${option} takes a power of two, such as 2097152, not ${text}`);
  return bytes;
}

/** CK_TOKEN_INFO has 32 bytes for it. */
const MAX_LABEL_BYTES = 32;

/** @throws a usage error for what no token is labelled. */
function tokenLabel(text: string): string {
  if (text !== "" && Buffer.byteLength(text) <= MAX_LABEL_BYTES) return text;
  throw usage(`--token takes the label of a token, 1 to ${MAX_LABEL_BYTES} bytes`);
}

/** @throws a usage error for no name at all. */
function moduleName(text: string): string {
  if (text !== "") return text;
  throw usage("--module takes the path or the name of a library");
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

export const ADDABLE_DRIVERS: readonly AddableDriver[] = [
  {
    name: "virtual-hsm",
    summary: "a further virtual HSM in a process of its own",
    idPrefix: "hsm",
    options: (command) =>
      void command
        .addOption(new ChoiceOption("--root <kind>", "what unlocks it", ROOT_KINDS, { fallback: "key-file" }))
        .option(
          "--secure-heap-bytes <bytes>",
          "memory for its secrets, a power of two from 64 KiB to 1 GiB (default: 2097152 with a key file, none with a passphrase)",
          heapBytes,
        ),
    settings: (options) => picked(options, ["root", "secureHeapBytes"]),
  },
  {
    name: "pkcs11",
    summary: "an HSM or token behind its maker's PKCS#11 module",
    idPrefix: "p11",
    options: (command) =>
      void command
        .requiredOption("--module <file>", "the maker's library, e.g. /usr/lib/softhsm/libsofthsm2.so", moduleName)
        .requiredOption("--token <label>", "label of the token in it", tokenLabel)
        .option("--pin-file <file>", "file with the user PIN, mode 0600; without it `device unlock` asks for the PIN")
        .option("--pin-root <device>", "virtual HSM that keeps the PIN of the first `device unlock`, encrypted")
        .option("--sessions <count>", "operations that run side by side (default: 4)", whole("--sessions", 1, 32))
        .option(
          "--time-limit <seconds>",
          "what one use of a key may take (default: 30)",
          whole("--time-limit", 1, 3600),
        )
        .option("--environment <names>", "further variables of the server that the module may see, comma-separated")
        .option("--addon <dir>", "the npm package pkcs11js, when it is not installed beside Casemate"),
    settings: (options) => {
      if (options["pinFile"] !== undefined && options["pinRoot"] !== undefined)
        throw usage("the PIN comes from --pin-file or is kept by --pin-root, not both");
      const settings = picked(options, [
        "module",
        "token",
        "pinFile",
        "pinRoot",
        "sessions",
        "timeLimit",
        "environment",
        "addon",
      ]);
      const absolute = ["pinFile", "addon"].flatMap((name) =>
        settings[name] === undefined ? [] : [[name, resolve(String(settings[name]))] as const],
      );
      const module = String(settings["module"]);
      return {
        ...settings,
        ...Object.fromEntries(absolute),
        module: module.includes("/") ? resolve(module) : module,
      };
    },
    async check(settings, devices) {
      checkPinRoot(settings["pinRoot"], devices);
      await checkModule(String(settings["module"]));
      await checkToken(settings, devices);
    },
  },
];

/** @throws NOT_FOUND, NOT_SUPPORTED for a device that keeps no PIN. */
function checkPinRoot(root: Settings[string] | undefined, devices: readonly DeviceConfig[]): void {
  if (root === undefined) return;
  const able = devices.filter(({ driver }) => driver === "virtual-hsm").map(({ id }) => id);
  if (able.includes(String(root))) return;
  const hint = `These can keep a PIN: ${able.join(", ")}.`;
  const found = devices.find(({ id }) => id === root);
  if (found === undefined) throw new CasemateError("NOT_FOUND", `there is no device ${root} to keep the PIN`, { hint });
  throw new CasemateError("NOT_SUPPORTED", `${root} cannot keep the PIN: only a virtual HSM does`, { hint });
}

const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);

/** A file that is not there may come, with a disk or a package; one of another kind becomes no library. @throws CONFIG_INVALID. */
async function checkModule(name: string): Promise<void> {
  const { findModule } = await import("@casemate/devices/driver-pkcs11");
  const path = findModule(name);
  if (!path.includes("/") || !existsSync(path)) return;
  if (statSync(path).isFile() && beginning(path, ELF.length).equals(ELF)) return;
  throw new CasemateError("CONFIG_INVALID", `${path} is no shared library`, {
    hint: "Give --module the PKCS#11 library of the HSM's maker, a file that mostly ends in .so; the package's list of files has it.",
  });
}

/** @throws CONFIG_INVALID. */
function beginning(path: string, bytes: number): Buffer {
  const read = Buffer.alloc(bytes);
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    return read.subarray(0, readSync(descriptor, read, 0, bytes, 0));
  } catch (cause) {
    throw new CasemateError("CONFIG_INVALID", `${path} cannot be read`, {
      cause,
      hint: "The server, and whoever adds the device, must be allowed to read the module.",
    });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Two devices over one token would each think that its keys are its own. @throws ALREADY_EXISTS. */
async function checkToken(settings: Settings, devices: readonly DeviceConfig[]): Promise<void> {
  const { findModule } = await import("@casemate/devices/driver-pkcs11");
  const fileOf = (module: Settings[string] | undefined): string => {
    const file = findModule(String(module));
    return existsSync(file) ? realpathSync(file) : file;
  };
  const { module, token } = settings;
  const twin = devices.find(
    (device) => device.driver === "pkcs11" && device["token"] === token && fileOf(device["module"]) === fileOf(module),
  );
  if (twin === undefined) return;
  throw new CasemateError("ALREADY_EXISTS", `the token ${token} of this module is the device ${twin.id} already`, {
    hint: `Use ${twin.id}, or \`casemate device remove ${twin.id}\` first.`,
  });
}

/** The first free `prefix-N`. */
export function freeId(prefix: string, devices: readonly DeviceConfig[]): string {
  for (let n = 1; ; n++) if (!devices.some(({ id }) => id === `${prefix}-${n}`)) return `${prefix}-${n}`;
}
