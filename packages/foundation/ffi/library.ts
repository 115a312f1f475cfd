// The one importer of node:ffi. The module is experimental and absent from older Node versions, hence loaded lazily.
import type * as Ffi from "node:ffi";
import process from "node:process";

export type { Ffi };

/** Something this machine has, or the reason why it has not. */
export type Capability<T> = ({ readonly available: true } & T) | { readonly available: false; readonly reason: string };

/** node:ffi and the symbols of the running program (libc and libcrypto among them). */
export interface Program {
  readonly ffi: typeof Ffi;
  readonly library: Ffi.DynamicLibrary;
}

export function unavailable(reason: string): { readonly available: false; readonly reason: string } {
  return { available: false, reason };
}

/** Makes a capability of what `create` returns, or of the reason it throws. */
export function capability<T extends object>(what: string, create: () => T): Capability<T> {
  try {
    return { available: true, ...create() };
  } catch (error) {
    return unavailable(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @throws Error with the reason when foreign functions cannot be called here. */
export function openProgram(): Program {
  if (process.platform !== "linux") throw new Error(`works on Linux only, this is ${process.platform}`);
  const ffi = process.getBuiltinModule("node:ffi") as typeof Ffi | undefined;
  if (ffi === undefined) throw new Error(`Node ${process.versions.node} has no node:ffi (26.1 is the first that has)`);
  return { ffi, library: new ffi.DynamicLibrary(null) };
}

/** A buffer whose address never changes and may be given to native code for as long as the object is referenced. */
export interface Pinned {
  readonly bytes: Buffer;
  readonly address: bigint;
}

export function pin(ffi: typeof Ffi, length: number): Pinned {
  // allocUnsafeSlow: memory of its own outside the JavaScript heap, so the garbage collector never moves it.
  const bytes = Buffer.allocUnsafeSlow(length).fill(0);
  return { bytes, address: ffi.getRawPointer(bytes) };
}

/** Reads the error number of the call just made. */
export function bindErrno({ ffi, library }: Program): () => number {
  const location = library.getFunction("__errno_location", { return: "pointer", arguments: [] });
  return () => ffi.getInt32(location());
}

/** syscall(2) with all its arguments; one signature, because a library gives out each symbol with one only. */
export function bindSyscall({ library }: Program) {
  return library.getFunction("syscall", {
    return: "int64",
    arguments: ["int64", "int64", "int64", "int64", "int64", "int64", "int64"],
  });
}
