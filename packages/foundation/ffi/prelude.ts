// What must happen before a program's first instruction: run by a short-lived Node that then becomes the real one (execve(2)).
import process from "node:process";
import { toHex } from "@casemate/foundation/bytes";
import { capability, openProgram, type Capability } from "./library.ts";
import { thisArchitecture } from "./process-calls.ts";
import { NO_IO_URING } from "./seccomp-policy.ts";
import { compileSeccomp } from "./seccomp-program.ts";
import type { Syscall } from "./syscalls.ts";

/**
 * Runs as `node -e`, without Casemate's modules. Every step is tried on its own and none is fatal: what is missing is
 * found and reported by the guest. Arguments after the options: the first descriptor not to pass on, then the real arguments.
 */
const SCRIPT = (filter: string, numbers: { seccomp: number; closeRange: number; fcntl: number }): string => `
const [first, ...args] = process.argv.slice(1);
try {
  const { DynamicLibrary, getRawPointer } = require("node:ffi");
  const long = "int64";
  const { syscall, prctl } = new DynamicLibrary(null).getFunctions({
    syscall: { return: long, arguments: [long, long, long, long] },
    prctl: { return: "int32", arguments: ["int32", "uint64", "uint64", "uint64", "uint64"] },
  });
  // Node marks what it inherits as not to be inherited again; F_SETFD 0 takes that back for what is meant to pass on.
  for (let fd = 3; fd < first; fd++) syscall(${numbers.fcntl}n, BigInt(fd), 2n, 0n);
  syscall(${numbers.closeRange}n, BigInt(first), 0xffffffffn, 4n); // CLOSE_RANGE_CLOEXEC
  prctl(38, 1n, 0n, 0n, 0n); // PR_SET_NO_NEW_PRIVS
  prctl(1, 9n, 0n, 0n, 0n); // PR_SET_PDEATHSIG: SIGKILL when the parent is gone, however busy the guest is
  const filter = "${filter}";
  const code = Buffer.allocUnsafeSlow(filter.length / 2);
  code.write(filter, "hex");
  const header = Buffer.allocUnsafeSlow(16).fill(0);
  header.writeUInt16LE(code.length / 8, 0);
  header.writeBigUInt64LE(getRawPointer(code), 8);
  syscall(${numbers.seccomp}n, 1n, 0n, getRawPointer(header));
} catch {}
process.execve(process.execPath, [process.execPath, ...args], process.env);
`;

export interface Prelude {
  /** Arguments for Node that prepare the process and then run Node with `args`; only descriptors below `firstForeign` pass on. */
  argumentsFor(firstForeign: number, args: readonly string[]): string[];
}

/** Unavailable where this Node cannot replace its own process or the system call table is missing. */
export function startPrelude(): Capability<Prelude> {
  return capability("start", () => {
    openProgram(); // without native calls the descriptors could not be kept
    if (typeof process.execve !== "function") throw new Error("this Node has no process.execve");
    const architecture = thisArchitecture();
    const number = (call: Syscall): number => architecture.number(call) as number;
    const script = SCRIPT(toHex(compileSeccomp(NO_IO_URING, architecture)), {
      seccomp: number("seccomp"),
      closeRange: number("close_range"),
      fcntl: number("fcntl"),
    });
    return {
      argumentsFor: (firstForeign, args) => ["--no-warnings", "-e", script, "--", String(firstForeign), ...args],
    };
  });
}
