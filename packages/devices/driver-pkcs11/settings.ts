/** One line of devices.json for this driver: plain values in, options out. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { CasemateError } from "@casemate/foundation/errors";
import { SecretBytes } from "@casemate/foundation/secrets";
import type { Pkcs11Options } from "./open.ts";

/** As devices.json has them beside `id` and `driver`. */
export interface Pkcs11Settings {
  /** Absolute path of the maker's library, or a name for the system's own search. */
  readonly module: string;
  /** Label of the token. */
  readonly token: string;
  /** Absolute path of a file, mode 0600, whose content is the user PIN. Absent: a person unlocks the device. */
  readonly pinFile?: string;
  /** Id of the virtual HSM that keeps the PIN encrypted, from the first unlocking by a person on. */
  readonly pinRoot?: string;
  readonly sessions?: number;
  /** Seconds that one use of a key may take. */
  readonly timeLimit?: number;
  /** Directory of the pkcs11js package, when it is not installed beside Casemate. */
  readonly addon?: string;
  /** Names of further environment variables of the server that the module may see, with commas between. */
  readonly environment?: string;
}

/** What a token's label can be: CK_TOKEN_INFO has 32 bytes for it. */
const MAX_LABEL_BYTES = 32;
const MAX_PIN_BYTES = 255;

const invalid = (id: string, what: string, hint?: string): CasemateError =>
  new CasemateError("CONFIG_INVALID", `device ${id}: ${what}`, hint === undefined ? {} : { hint });

/** @throws CONFIG_INVALID for a setting that is missing, unknown or of a wrong kind. */
export function parsePkcs11Settings(id: string, row: Readonly<Record<string, unknown>>): Pkcs11Settings {
  const checks: Readonly<Record<keyof Pkcs11Settings, (value: unknown) => boolean>> = {
    module: (value) => typeof value === "string" && value !== "",
    token: (value) => typeof value === "string" && value !== "" && Buffer.byteLength(value) <= MAX_LABEL_BYTES,
    pinFile: (value) => typeof value === "string" && isAbsolute(value),
    pinRoot: (value) => typeof value === "string" && value !== "" && value !== id,
    sessions: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 32,
    timeLimit: (value) => typeof value === "number" && value >= 1 && value <= 3600,
    addon: (value) => typeof value === "string" && isAbsolute(value),
    environment: (value) => typeof value === "string" && /^[A-Za-z_]\w*(,[A-Za-z_]\w*)*$/.test(value),
  };
  for (const [name, value] of Object.entries(row)) {
    if (!Object.hasOwn(checks, name)) throw invalid(id, `driver pkcs11 has no setting ${name}`);
    if (!checks[name as keyof Pkcs11Settings](value)) throw invalid(id, `${name} cannot be ${JSON.stringify(value)}`);
  }
  for (const name of ["module", "token"] as const)
    if (!Object.hasOwn(row, name)) throw invalid(id, `the setting ${name} is missing`);
  if (Object.hasOwn(row, "pinFile") && Object.hasOwn(row, "pinRoot"))
    throw invalid(id, "pinFile and pinRoot are two answers to one question", "Keep one of them.");
  return row as unknown as Pkcs11Settings;
}

/** Reads a PIN without its line end. @throws CONFIG_INVALID for a file that others may read, or that holds no PIN. */
function readPin(id: string, path: string): SecretBytes {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY);
  } catch (cause) {
    throw new CasemateError("CONFIG_INVALID", `device ${id}: the PIN file ${path} cannot be read`, {
      cause,
      hint: "Check its path and owner.",
    });
  }
  try {
    if ((fstatSync(descriptor).mode & 0o077) !== 0)
      throw invalid(id, `the PIN file ${path} is open to other users`, `Run chmod 600 ${path}.`);
    const content = readFileSync(descriptor);
    let end = content.length;
    while (end > 0 && (content[end - 1] === 10 || content[end - 1] === 13)) end--;
    if (end === 0 || end > MAX_PIN_BYTES) {
      content.fill(0);
      throw invalid(id, `the PIN file ${path} holds no PIN`, "Its content is the PIN and nothing else.");
    }
    const pin = SecretBytes.take(content.subarray(0, end));
    content.fill(0);
    return pin;
  } finally {
    closeSync(descriptor);
  }
}

/** What `openPkcs11Device` takes, from settings and the server's environment. */
export function pkcs11Options(
  id: string,
  settings: Pkcs11Settings,
  environment: Readonly<Record<string, string | undefined>>,
): Pkcs11Options {
  const { module, token, pinFile, sessions, timeLimit, addon } = settings;
  const named = (settings.environment ?? "").split(",").filter((name) => environment[name] !== undefined);
  return {
    id,
    module,
    token,
    ...(pinFile === undefined
      ? { pinSource: "pin, by hand" }
      : {
          pin: () => Promise.resolve().then(() => readPin(id, pinFile)),
          pinMayChange: true,
          pinSource: "pin-file",
        }),
    ...(sessions === undefined ? {} : { sessions }),
    ...(timeLimit === undefined ? {} : { limits: { useMs: timeLimit * 1000 } }),
    ...(addon === undefined ? {} : { addon }),
    environment: Object.fromEntries(named.map((name) => [name, environment[name] ?? ""])),
  };
}
