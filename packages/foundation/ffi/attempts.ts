// Tries what a confined process must not be able to do, with arguments that do no harm where it still can.
import { EPERM, ENOSYS } from "./seccomp-policy.ts";
import { bindErrno, bindSyscall, pin, type Program } from "./library.ts";
import { thisArchitecture } from "./process-calls.ts";
import type { Syscall } from "./syscalls.ts";

export const ATTEMPTS = [
  "open a file",
  "create a socket",
  "execute a program",
  "create a process",
  "trace a process",
  "read a process's memory",
  "signal a process",
  "set up io_uring",
  "use an io_uring made earlier",
  "become dumpable",
] as const;

export type Attempt = (typeof ATTEMPTS)[number];

export interface AttemptCalls {
  /** True when the kernel refuses by policy. Call after `setNotDumpable`: one attempt undoes it where that is possible. */
  refused(attempt: Attempt): boolean;
}

/** Above the largest process id a kernel gives out. */
const NO_SUCH_PROCESS = 0x7ffffff0n;
const CLONE_SIGHAND = 0x800n; // without CLONE_VM the kernel answers EINVAL and creates nothing
const PTRACE_ATTACH = 16n;
const AT_FDCWD = -100n;
const PR_SET_DUMPABLE = 4n;

export function bindAttempts(program: Program): AttemptCalls {
  const architecture = thisArchitecture();
  const syscall = bindSyscall(program);
  const errnoOf = bindErrno(program);
  const { ffi } = program;
  const root = pin(ffi, 8);
  root.bytes.write("/\0");
  const nowhere = pin(ffi, 8);
  nowhere.bytes.write("/-/-\0");

  const calls: Readonly<Record<Attempt, readonly [Syscall, ...bigint[]]>> = {
    "open a file": ["openat", AT_FDCWD, root.address],
    "create a socket": ["socket", 1n, 1n],
    "execute a program": ["execve", nowhere.address],
    "create a process": ["clone", CLONE_SIGHAND],
    "trace a process": ["ptrace", PTRACE_ATTACH, NO_SUCH_PROCESS],
    "read a process's memory": ["process_vm_readv", NO_SUCH_PROCESS],
    "signal a process": ["kill", NO_SUCH_PROCESS],
    "set up io_uring": ["io_uring_setup", 0n],
    "use an io_uring made earlier": ["io_uring_enter", -1n],
    "become dumpable": ["prctl", PR_SET_DUMPABLE, 1n],
  };
  return {
    refused(attempt) {
      const [call, ...given] = calls[attempt];
      const number = architecture.number(call);
      if (number === undefined) return true;
      const [a = 0n, b = 0n, c = 0n] = given;
      if (syscall(BigInt(number), a, b, c, 0n, 0n, 0n) !== -1n) return false;
      const errno = errnoOf();
      return errno === EPERM || errno === ENOSYS;
    },
  };
}
