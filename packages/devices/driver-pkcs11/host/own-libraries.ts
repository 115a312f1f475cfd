/** Which libraries a module calls: those that it was built for, and not what Node brings along of the same name. */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import process from "node:process";

/** RTLD_NODELETE of dlfcn.h, on Linux: what was bound so stays, though this loading ends before the real one. */
const NODELETE = 0x1000;
const LIBCRYPTO = /libcrypto\.so\.(\d+)/g;

/**
 * Whether Node's OpenSSL may stand in for that of the module in `file`: when the module is linked to the same major version,
 * within which OpenSSL keeps its interface. Of one that names none nothing is known; it may have one built in.
 */
export function sharesOpenSsl(file: Uint8Array, version = process.versions.openssl): boolean {
  const named = [...Buffer.from(file.buffer, file.byteOffset, file.length).toString("latin1").matchAll(LIBCRYPTO)];
  return named.length > 0 && named.every(([, major]) => major === version.split(".")[0]);
}

/**
 * Loads the module so that its own libraries are asked first. Node exports the symbols of its OpenSSL, and the loader would bind a
 * module to them whatever version it was built for, which ends in a crash (ADR 17). Where the loader cannot do that (musl), nothing
 * happens; what is no library at all the loading that follows says.
 */
export function bindOwnLibraries(path: string): void {
  const { RTLD_DEEPBIND, RTLD_NOW } = constants.dlopen;
  if (RTLD_DEEPBIND === undefined || shares(path)) return;
  try {
    process.dlopen({ exports: {} }, path, RTLD_NOW | RTLD_DEEPBIND | NODELETE);
  } catch {
    // It is no addon of Node, which this call is for; it is loaded all the same.
  }
}

function shares(path: string): boolean {
  try {
    return sharesOpenSsl(readFileSync(path));
  } catch {
    return false;
  }
}
