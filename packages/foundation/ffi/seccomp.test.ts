import assert from "node:assert/strict";
import { test } from "node:test";
import { guestPolicy, NO_IO_URING, type SeccompPolicy } from "./seccomp-policy.ts";
import { compileSeccomp } from "./seccomp-program.ts";
import { ARCHITECTURES, type Architecture, type Syscall } from "./syscalls.ts";

const PID = 4242;
const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const errno = (number: number): number => 0x00050000 | number;

/** An independent interpreter of the few instructions used. */
function run(program: Uint8Array, data: Uint8Array): number {
  const code = new DataView(program.buffer);
  const input = new DataView(data.buffer);
  let accumulator = 0;
  for (let pc = 0; pc < program.length / 8; pc++) {
    const operation = code.getUint16(pc * 8, true);
    const constant = code.getUint32(pc * 8 + 4, true);
    const jump = (holds: boolean): number => code.getUint8(pc * 8 + (holds ? 2 : 3));
    if (operation === 0x20) accumulator = input.getUint32(constant, true);
    else if (operation === 0x54) accumulator = (accumulator & constant) >>> 0;
    else if (operation === 0x15) pc += jump(accumulator === constant);
    else if (operation === 0x35) pc += jump(accumulator >= constant);
    else if (operation === 0x06) return constant;
    else assert.fail(`operation ${operation}`);
  }
  return assert.fail("ran off the end");
}

function decide(
  policy: SeccompPolicy,
  architecture: Architecture,
  number: number,
  args: readonly bigint[] = [],
  audit = architecture.audit,
): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, audit, true);
  for (const [i, argument] of args.entries()) data.setBigUint64(16 + 8 * i, BigInt.asUintN(64, argument), true);
  return run(compileSeccomp(policy, architecture), new Uint8Array(data.buffer));
}

for (const architecture of ARCHITECTURES.values()) {
  const guest = guestPolicy(PID);
  const call = (name: Syscall, ...args: bigint[]): number =>
    decide(guest, architecture, architecture.number(name) ?? assert.fail(name), args);

  test(`${architecture.name}: a guest may use what it has and open nothing new`, () => {
    for (const name of ["read", "write", "mmap", "futex", "exit_group", "getrandom"] as const)
      assert.equal(call(name), ALLOW, name);
    for (const name of ["openat", "socket", "execve", "ptrace", "process_vm_readv", "kill", "seccomp"] as const)
      assert.equal(call(name), errno(1), name);
    for (const name of ["clone3", "io_uring_setup"] as const) assert.equal(call(name), errno(38), name);
  });

  test(`${architecture.name}: a thread may be made, a process may not`, () => {
    assert.equal(call("clone", 0x3d0f00n), ALLOW); // what pthread_create passes
    assert.equal(call("clone", 0x1200011n), errno(1)); // what fork passes
    assert.equal(call("clone", 0x1000000000000n), errno(1));
  });

  test(`${architecture.name}: arguments decide where only some are harmless`, () => {
    assert.equal(call("tgkill", BigInt(PID), 1n, 6n), ALLOW);
    assert.equal(call("tgkill", 1n, 1n, 6n), errno(1));
    assert.equal(call("prctl", 15n), ALLOW);
    assert.equal(call("prctl", 4n, 1n), errno(1));
    assert.equal(call("ioctl", 1n, 0x5421n), ALLOW);
    assert.equal(call("ioctl", 1n, 0x5412n), errno(1)); // TIOCSTI types into a terminal
    assert.equal(call("prlimit64", 0n, 4n, 0n, 99n), ALLOW);
    assert.equal(call("prlimit64", 0n, 4n, 99n, 0n), errno(1));
    assert.equal(call("prlimit64", 0n, 4n, 0x100000000n, 0n), errno(1));
    assert.equal(call("prlimit64", 1n, 4n, 0n, 99n), errno(1));
    assert.equal(call("newfstatat", 5n, 0n, 0n, 0x1000n), ALLOW);
    assert.equal(call("newfstatat", -100n, 0n, 0n, 0n), errno(1));
  });

  test(`${architecture.name}: another processor mode ends the process, and unknown calls are refused`, () => {
    assert.equal(decide(guest, architecture, 0, [], 0x40000003), KILL);
    for (let number = 0; number < 600; number++) {
      const verdict = decide(guest, architecture, number, [0xffffffffffffn, 0xffffn, 0xffffn, 0n]);
      assert.ok([ALLOW, errno(1), errno(38)].includes(verdict), `${number}: ${verdict}`);
    }
    assert.equal(decide(guest, architecture, 100_000), errno(1));
    assert.equal(decide(guest, architecture, 0x40000000), errno(1)); // x32
  });

  test(`${architecture.name}: the filter before the start takes away io_uring and nothing else`, () => {
    assert.equal(decide(NO_IO_URING, architecture, 425), errno(38));
    assert.equal(decide(NO_IO_URING, architecture, architecture.number("openat") ?? 0), ALLOW);
  });
}
