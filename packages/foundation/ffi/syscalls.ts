// Linux system call numbers: x86_64 from arch/x86/entry/syscalls/syscall_64.tbl, aarch64 from include/uapi/asm-generic/unistd.h.

/** Per name the numbers on x86_64 and aarch64; undefined where the architecture has no such call. */
const NUMBERS = {
  // data on open descriptors
  read: [0, 63],
  write: [1, 64],
  readv: [19, 65],
  writev: [20, 66],
  pread64: [17, 67],
  pwrite64: [18, 68],
  preadv: [295, 69],
  pwritev: [296, 70],
  lseek: [8, 62],
  close: [3, 57],
  dup: [32, 23],
  dup3: [292, 24],
  fcntl: [72, 25],
  fstat: [5, 80],
  newfstatat: [262, 79],
  fsync: [74, 82],
  fdatasync: [75, 83],
  ioctl: [16, 29],
  pipe2: [293, 59],
  sendto: [44, 206],
  recvfrom: [45, 207],
  sendmsg: [46, 211],
  recvmsg: [47, 212],
  shutdown: [48, 210],
  getsockname: [51, 204],
  getpeername: [52, 205],
  setsockopt: [54, 208],
  getsockopt: [55, 209],
  // waiting
  epoll_create1: [291, 20],
  epoll_ctl: [233, 21],
  epoll_wait: [232, undefined],
  epoll_pwait: [281, 22],
  epoll_pwait2: [441, 441],
  eventfd2: [290, 19],
  poll: [7, undefined],
  ppoll: [271, 73],
  select: [23, undefined],
  pselect6: [270, 72],
  // memory
  brk: [12, 214],
  mmap: [9, 222],
  munmap: [11, 215],
  mremap: [25, 216],
  mprotect: [10, 226],
  madvise: [28, 233],
  mlock: [149, 228],
  mlock2: [325, 284],
  munlock: [150, 229],
  membarrier: [324, 283],
  pkey_mprotect: [329, 288],
  pkey_alloc: [330, 289],
  pkey_free: [331, 290],
  // threads
  clone: [56, 220],
  clone3: [435, 435],
  futex: [202, 98],
  futex_waitv: [449, 449],
  set_robust_list: [273, 99],
  get_robust_list: [274, 100],
  set_tid_address: [218, 96],
  rseq: [334, 293],
  exit: [60, 93],
  exit_group: [231, 94],
  gettid: [186, 178],
  getpid: [39, 172],
  getppid: [110, 173],
  tgkill: [234, 131],
  sched_yield: [24, 124],
  sched_getaffinity: [204, 123],
  sched_getparam: [143, 121],
  sched_getscheduler: [145, 120],
  getpriority: [140, 141],
  prctl: [157, 167],
  arch_prctl: [158, undefined],
  // signals
  rt_sigaction: [13, 134],
  rt_sigprocmask: [14, 135],
  rt_sigreturn: [15, 139],
  rt_sigpending: [127, 136],
  rt_sigtimedwait: [128, 137],
  sigaltstack: [131, 132],
  restart_syscall: [219, 128],
  // time
  clock_gettime: [228, 113],
  clock_getres: [229, 114],
  clock_nanosleep: [230, 115],
  nanosleep: [35, 101],
  gettimeofday: [96, 169],
  time: [201, undefined],
  times: [100, 153],
  // facts about this process and machine
  getuid: [102, 174],
  geteuid: [107, 175],
  getgid: [104, 176],
  getegid: [108, 177],
  getrusage: [98, 165],
  getrlimit: [97, 163],
  prlimit64: [302, 261],
  getcpu: [309, 168],
  uname: [63, 160],
  sysinfo: [99, 179],
  getrandom: [318, 278],
  // named only to be refused or tried
  openat: [257, 56],
  socket: [41, 198],
  execve: [59, 221],
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  kill: [62, 129],
  seccomp: [317, 277],
  close_range: [436, 436],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
} as const satisfies Record<string, readonly [number, number | undefined]>;

export type Syscall = keyof typeof NUMBERS;

/** What a filter must know of an architecture. */
export interface Architecture {
  readonly name: string;
  /** AUDIT_ARCH_* as seccomp reports it. */
  readonly audit: number;
  /** Calls from here on belong to another ABI of the same processor (x32). */
  readonly foreignAbiFrom: number | undefined;
  number(call: Syscall): number | undefined;
}

export const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map<string, Architecture>([
  ["x64", { name: "x86_64", audit: 0xc000003e, foreignAbiFrom: 0x40000000, number: (call) => NUMBERS[call][0] }],
  ["arm64", { name: "aarch64", audit: 0xc00000b7, foreignAbiFrom: undefined, number: (call) => NUMBERS[call][1] }],
]);
