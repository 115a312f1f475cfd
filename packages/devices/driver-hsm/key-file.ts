/** The file whose open descriptor a virtual HSM is given: its root of trust, or the key that signs its unlock challenges. */
import { closeSync, constants, fstatSync, openSync, unlinkSync, writeSync } from "node:fs";
import { CasemateError } from "@casemate/foundation/errors";

export type RootOptions =
  | { readonly kind: "key-file"; readonly path: string }
  | {
      readonly kind: "passphrase";
      /** File of the key that signs unlock challenges; made on the first run. It opens no sealed state. */
      readonly unlockKeyPath: string;
    };

export interface KeyFile {
  readonly descriptor: number;
  close(): void;
  /** Closes it, and takes it away again when this start made it. */
  discard(): void;
}

/** What the guest writes: a root and a counter; a seed. Zeros stand for nothing there yet. */
const BYTES = { "key-file": 40, passphrase: 32 } as const satisfies Record<RootOptions["kind"], number>;

const OPEN = constants.O_RDWR | constants.O_NOFOLLOW;
const MAKE = OPEN | constants.O_CREAT | constants.O_EXCL;

const codeOf = (error: unknown): string => (error instanceof Error && "code" in error ? String(error.code) : "");

/**
 * Opens the file for the boundary to read and, on the first run, to fill. Nothing here reads it.
 * @throws CONFIG_INVALID when it cannot be used, or is missing while there is state that it alone opens; STORAGE_FULL when a new one has no room.
 */
export function openKeyFile(id: string, root: RootOptions, stateExists: boolean): KeyFile {
  const needed = root.kind === "key-file" && stateExists;
  const path = root.kind === "key-file" ? root.path : root.unlockKeyPath;
  const { descriptor, made } = openOrMake(id, path, needed);
  const close = (): void => closeSync(descriptor);
  const discard = (): void => {
    close();
    if (made) unlinkSync(path);
  };
  try {
    const found = fstatSync(descriptor);
    const { mode, size } = found;
    if (!found.isFile())
      throw new CasemateError("CONFIG_INVALID", `the key file ${path} is no ordinary file`, { hint: ODD });
    if ((mode & 0o077) !== 0)
      throw new CasemateError("CONFIG_INVALID", `the key file ${path} is open to other users`, {
        hint: `Run \`chmod 600 ${path}\`. Whoever could read it before may have the root key.`,
      });
    if (size === 0 && needed) throw lost(id, path, "is empty");
    // Room for what the guest will write: it cannot say well what a full disk is.
    if (made) writeSync(descriptor, new Uint8Array(BYTES[root.kind]), 0, BYTES[root.kind], 0);
  } catch (error) {
    discard();
    throw unusable(path, error);
  }
  return { descriptor, close, discard };
}

function openOrMake(
  id: string,
  path: string,
  needed: boolean,
): { readonly descriptor: number; readonly made: boolean } {
  try {
    return { descriptor: openSync(path, OPEN), made: false };
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw unusable(path, error);
    if (needed) throw lost(id, path, "is missing");
  }
  try {
    return { descriptor: openSync(path, MAKE, 0o600), made: true };
  } catch (error) {
    throw unusable(path, error);
  }
}

function lost(id: string, path: string, how: string): CasemateError {
  return new CasemateError(
    "CONFIG_INVALID",
    `the key file ${path} ${how}: it is the root of trust of ${id}, and nothing else opens the keys that ${id} holds`,
    {
      hint: `Put ${path} back from its backup, mode 0600, and start again. Nothing was changed. Without it these keys are lost: begin anew with another, empty data directory.`,
      details: { path },
    },
  );
}

const ODD = "Move what is there away, and put the key file itself in its place, mode 0600.";
const RIGHTS = "Check owner and mode of the file and of its directories.";
/** What to do about an odd key file, by errno. */
const REMEDIES: ReadonlyMap<string, string> = new Map([
  ["ELOOP", `A symbolic link is there, and links are not followed. ${ODD}`],
  ["EISDIR", `A directory is there. ${ODD}`],
  ["ENXIO", ODD],
  ["EACCES", RIGHTS],
  ["EPERM", RIGHTS],
  ["EROFS", "Its file system is read-only: mount it writable, because the device keeps a counter in the file."],
]);

const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);

function unusable(path: string, error: unknown): CasemateError {
  if (error instanceof CasemateError) return error;
  const code = codeOf(error);
  if (FULL.has(code))
    return new CasemateError("STORAGE_FULL", `the key file ${path} cannot be made: the disk is full (${code})`, {
      hint: "Free space on the disk, then start again.",
      cause: error,
    });
  return new CasemateError(
    "CONFIG_INVALID",
    `the key file ${path} cannot be opened for reading and writing${code === "" ? "" : ` (${code})`}`,
    { hint: REMEDIES.get(code) ?? "Check its path, owner and mode.", cause: error },
  );
}
