// Calls that take rights away from the running process. prctl(2), setrlimit(2), seccomp(2).
import process from "node:process";
import { CasemateError } from "@casemate/foundation/errors";
import { bindErrno, bindSyscall, pin, type Program } from "./library.ts";
import { guestPolicy, type SeccompPolicy } from "./seccomp-policy.ts";
import { compileSeccomp } from "./seccomp-program.ts";
import { ARCHITECTURES, type Architecture } from "./syscalls.ts";

const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_GET_NO_NEW_PRIVS = 39;
const RLIMIT_CORE = 4;
const SECCOMP_SET_MODE_FILTER = 1n;
const SECCOMP_FILTER_FLAG_TSYNC = 1n;

/** Each throws CasemateError NOT_SUPPORTED when the kernel refuses. */
export interface ProcessCalls {
  /** Other processes of the same user can no longer read this one's memory, and it leaves no core file. */
  readonly setNotDumpable: () => void;
  readonly isDumpable: () => boolean;
  readonly setNoNewPrivileges: () => void;
  readonly hasNoNewPrivileges: () => boolean;
  readonly forbidCoreFiles: () => void;
  readonly coreFilesForbidden: () => boolean;
}

export interface SeccompCalls {
  /** Confines every thread of this process for good. Needs `setNoNewPrivileges` first. */
  readonly confineGuest: () => void;
}

function refusal(what: string, errno: number): CasemateError {
  return new CasemateError("NOT_SUPPORTED", `${what} failed with error number ${errno}`, { details: { errno } });
}

export function bindProcessCalls(program: Program): ProcessCalls {
  const errno = bindErrno(program);
  const { prctl, setrlimit, getrlimit } = program.library.getFunctions({
    prctl: { return: "int32", arguments: ["int32", "uint64", "uint64", "uint64", "uint64"] },
    setrlimit: { return: "int32", arguments: ["int32", "pointer"] },
    getrlimit: { return: "int32", arguments: ["int32", "pointer"] },
  });
  const limits = pin(program.ffi, 16);
  const set = (what: string, result: number): void => {
    if (result !== 0) throw refusal(what, errno());
  };
  return {
    setNotDumpable: () => set("prctl(PR_SET_DUMPABLE)", prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n)),
    isDumpable: () => prctl(PR_GET_DUMPABLE, 0n, 0n, 0n, 0n) !== 0,
    setNoNewPrivileges: () => set("prctl(PR_SET_NO_NEW_PRIVS)", prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n)),
    hasNoNewPrivileges: () => prctl(PR_GET_NO_NEW_PRIVS, 0n, 0n, 0n, 0n) === 1,
    forbidCoreFiles() {
      limits.bytes.fill(0);
      set("setrlimit(RLIMIT_CORE)", setrlimit(RLIMIT_CORE, limits.address));
    },
    coreFilesForbidden() {
      limits.bytes.fill(0xff);
      return getrlimit(RLIMIT_CORE, limits.address) === 0 && limits.bytes.every((byte) => byte === 0);
    },
  };
}

/** @throws Error when the tables do not know this processor. */
export function thisArchitecture(): Architecture {
  const architecture = ARCHITECTURES.get(process.arch);
  if (architecture === undefined) throw new Error(`no system call table for ${process.arch}`);
  return architecture;
}

export function bindSeccomp(program: Program): SeccompCalls {
  const architecture = thisArchitecture();
  const errno = bindErrno(program);
  const syscall = bindSyscall(program);
  const install = (policy: SeccompPolicy): void => {
    const filter = compileSeccomp(policy, architecture);
    const code = pin(program.ffi, filter.length);
    code.bytes.set(filter);
    const header = pin(program.ffi, 16); // struct sock_fprog
    header.bytes.writeUInt16LE(filter.length / 8, 0);
    header.bytes.writeBigUInt64LE(code.address, 8);
    const number = BigInt(architecture.number("seccomp") as number);
    const result = syscall(number, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, header.address, 0n, 0n, 0n);
    // A positive result is the id of a thread that could not be brought under the filter.
    if (result !== 0n) throw refusal("seccomp", result > 0n ? 0 : errno());
  };
  return { confineGuest: () => install(guestPolicy(process.pid)) };
}
