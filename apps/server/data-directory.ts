import { chmodSync, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { CasemateError } from "@casemate/foundation/errors";
import { startFailure } from "./start-failure.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Everything that lives in a data directory, by absolute path. */
export interface DataPaths {
  readonly root: string;
  /** The administrator's token of the first run, mode 0600. */
  readonly adminToken: string;
  readonly socket: string;
  /** Where p11-kit's client connects. */
  readonly pkcs11: string;
  readonly audit: string;
  /** Sealed answers of creating calls, for a day. */
  readonly idempotency: string;
  /** Devices beyond hsm-1, and how hsm-1 is unlocked. */
  readonly devices: string;
  /** Sealed state of a virtual device. */
  deviceState(id: string): string;
  /** Key file of a virtual device, mode 0600; only its descriptor is handed on. */
  rootKey(id: string): string;
  /** Key with which a device that waits for a passphrase signs its challenges, mode 0600; handed on likewise. */
  unlockKey(id: string): string;
  /** PIN of a token, encrypted to a virtual HSM. */
  keptPin(id: string): string;
  /** Where a running server says how to reach it. */
  readonly running: string;
  readonly log: string;
  readonly tls: string;
}

/** `--data`, else `$CASEMATE_DATA`, else the XDG data directory. */
export function dataDirectory(option: string | undefined, env: Environment): string {
  const chosen = option ?? env["CASEMATE_DATA"];
  if (chosen !== undefined && chosen !== "") return resolve(chosen);
  const xdg = env["XDG_DATA_HOME"];
  const base = xdg !== undefined && xdg.startsWith("/") ? xdg : join(env["HOME"] ?? homedir(), ".local", "share");
  return join(base, "casemate");
}

export function dataPaths(root: string): DataPaths {
  return {
    root,
    adminToken: join(root, "admin.token"),
    socket: join(root, "casemate.sock"),
    pkcs11: join(root, "pkcs11.sock"),
    audit: join(root, "audit"),
    idempotency: join(root, "idempotency.db"),
    devices: join(root, "devices.json"),
    deviceState: (id) => join(root, "devices", id),
    rootKey: (id) => join(root, "roots", `${id}.key`),
    unlockKey: (id) => join(root, "roots", `${id}.unlock`),
    keptPin: (id) => join(root, "devices", `${id}.pin.json`),
    running: join(root, "running.json"),
    log: join(root, "server.log"),
    tls: join(root, "tls"),
  };
}

/**
 * Directory and missing parents. Node's own `recursive` never returns where a file system answers ENOENT below a directory that exists, as
 * /proc does.
 */
function makeDirectories(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (!existsSync(parent)) makeDirectories(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Somebody else was faster.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST" || !existsSync(path)) throw error;
  }
}

/**
 * Makes the directory with mode 0700, or takes rights of others away from an existing one.
 * @throws CONFIG_INVALID when it cannot be made, is no directory or belongs to somebody else.
 */
export function prepareDataDirectory(root: string): void {
  try {
    makeDirectories(root);
    const found = statSync(root);
    if (!found.isDirectory()) {
      throw new CasemateError("CONFIG_INVALID", `the data directory ${root} is no directory`, {
        hint: "Choose another one with --data DIR or $CASEMATE_DATA.",
      });
    }
    const uid = process.getuid?.();
    if (uid !== undefined && found.uid !== uid && uid !== 0) {
      throw new CasemateError(
        "CONFIG_INVALID",
        `the data directory ${root} belongs to another account (uid ${found.uid})`,
        {
          hint: "Choose another one with --data DIR or $CASEMATE_DATA.",
        },
      );
    }
    if ((found.mode & 0o077) !== 0) chmodSync(root, 0o700);
  } catch (error) {
    const known = startFailure(error, root);
    if (known instanceof CasemateError && known.code === "STORAGE_FULL") throw known;
    if (error instanceof CasemateError) throw error;
    throw new CasemateError(
      "CONFIG_INVALID",
      `the data directory ${root} cannot be used: ${(error as Error).message}`,
      {
        hint: "Choose another one with --data DIR or $CASEMATE_DATA.",
        cause: error,
      },
    );
  }
}

/**
 * What to say of a data directory that belongs to somebody else: root may use one, and a container's root often does, over a volume of
 * another account.
 */
export function foreignOwner(root: string): string | undefined {
  const { uid } = statSync(root);
  const own = process.getuid?.() ?? uid;
  if (uid === own) return undefined;
  return `the data directory ${root} belongs to another account (uid ${uid}), which can take away and replace what is in it; unless that is meant: chown ${own} ${root}`;
}

export interface Running {
  readonly pid: number;
  /** Base URL of the TCP listener. */
  readonly url: string;
  /** Path of the unix socket, absent where the path would be too long for one. */
  readonly socket?: string;
  readonly startedAt: string;
  readonly version: string;
}

/** What the last server of this directory wrote about itself; undefined when there is none or it is not readable. */
export function readRunning(paths: DataPaths): Running | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(paths.running, "utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { pid, url } = value as Partial<Running>;
    return typeof pid === "number" && typeof url === "string" ? (value as Running) : undefined;
  } catch {
    return undefined;
  }
}
