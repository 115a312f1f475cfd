// What a boundary process may ask of the kernel, as data. Compiled by seccomp-program.ts.
import type { Syscall } from "./syscalls.ts";

/** Error numbers with which a refused call fails. */
export const EPERM = 1;
export const ENOSYS = 38;

/** Holds when the argument, masked, equals one of the values. Values above 32 bits are not supported. */
export interface Condition {
  readonly argument: number;
  readonly mask?: number;
  readonly oneOf: readonly number[];
}

/** Allowed when all conditions hold, otherwise refused with EPERM; or always refused with this error number. */
export type Rule = { readonly when: readonly Condition[] } | { readonly refuse: number };

export interface SeccompPolicy {
  readonly rules: readonly (readonly [Syscall, Rule])[];
  readonly otherwise: "allow" | { readonly refuse: number };
}

const always: Rule = { when: [] };

/**
 * For the moment before the guest starts: without io_uring. A ring set up earlier would go round every later filter, and
 * libuv aborts when one it has made stops working, so it must never get one.
 */
export const NO_IO_URING: SeccompPolicy = {
  rules: [
    ["io_uring_setup", { refuse: ENOSYS }],
    ["io_uring_enter", { refuse: ENOSYS }],
    ["io_uring_register", { refuse: ENOSYS }],
  ],
  otherwise: "allow",
};

// The most frequent calls first: the filter is a list.
const FREE: readonly Syscall[] = [
  ...(["read", "write", "writev", "readv", "epoll_pwait", "epoll_wait", "futex", "epoll_ctl", "madvise"] as const),
  ...(["mprotect", "mmap", "munmap", "mremap", "brk", "getrandom", "clock_gettime", "sched_yield"] as const),
  ...(["pread64", "pwrite64", "preadv", "pwritev", "lseek", "close", "dup", "dup3", "fcntl", "fstat"] as const),
  ...(["fsync", "fdatasync", "pipe2", "sendto", "recvfrom", "sendmsg", "recvmsg", "shutdown"] as const),
  ...(["getsockname", "getpeername", "setsockopt", "getsockopt", "epoll_create1", "epoll_pwait2"] as const),
  ...(["eventfd2", "poll", "ppoll", "select", "pselect6", "mlock", "mlock2", "munlock", "membarrier"] as const),
  ...(["pkey_mprotect", "pkey_alloc", "pkey_free", "futex_waitv", "set_robust_list", "get_robust_list"] as const),
  ...(["set_tid_address", "rseq", "exit", "exit_group", "gettid", "getpid", "getppid"] as const),
  ...(["sched_getaffinity", "sched_getparam", "sched_getscheduler", "getpriority", "arch_prctl"] as const),
  ...(["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait"] as const),
  ...(["sigaltstack", "restart_syscall", "clock_getres", "clock_nanosleep", "nanosleep"] as const),
  ...(["gettimeofday", "time", "times", "getuid", "geteuid", "getgid", "getegid", "getrusage"] as const),
  ...(["getrlimit", "getcpu", "uname", "sysinfo"] as const),
];

const AT_EMPTY_PATH = 0x1000;
const CLONE_THREAD = 0x10000;
const TERMINAL_AND_MODE_REQUESTS = [0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451]; // TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
const PR_GET_DUMPABLE = 3;
const PR_SET_NAME = 15;
const PR_GET_NAME = 16;
const PR_SET_VMA = 0x53564d41;

/**
 * For a guest at work: bytes on descriptors it has, memory, threads, time. Whatever is not listed fails with EPERM:
 * opening, connecting, new processes, looking into other processes, signals to them, mounts, namespaces, keyrings, BPF.
 * PR_SET_DUMPABLE is missing on purpose.
 */
export function guestPolicy(pid: number): SeccompPolicy {
  return {
    rules: [
      ...FREE.map((call) => [call, always] as const),
      ["clone", { when: [{ argument: 0, mask: CLONE_THREAD, oneOf: [CLONE_THREAD] }] }],
      ["clone3", { refuse: ENOSYS }], // its flags are in memory; libc falls back to clone
      ["tgkill", { when: [{ argument: 0, oneOf: [pid] }] }],
      ["ioctl", { when: [{ argument: 1, oneOf: TERMINAL_AND_MODE_REQUESTS }] }],
      ["newfstatat", { when: [{ argument: 3, mask: AT_EMPTY_PATH, oneOf: [AT_EMPTY_PATH] }] }],
      [
        "prlimit64",
        {
          when: [
            { argument: 0, oneOf: [0, pid] },
            { argument: 2, oneOf: [0] },
          ],
        },
      ],
      ["prctl", { when: [{ argument: 0, oneOf: [PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA] }] }],
      ["io_uring_setup", { refuse: ENOSYS }],
      ["io_uring_enter", always], // works only on a ring made before; NO_IO_URING prevents that
    ],
    otherwise: { refuse: EPERM },
  };
}
