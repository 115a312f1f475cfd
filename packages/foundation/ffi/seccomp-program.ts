// Compiles a policy to a classic BPF program: linux/seccomp.h, linux/bpf_common.h, Documentation/userspace-api/seccomp_filter.rst.
import { EPERM, type Condition, type SeccompPolicy } from "./seccomp-policy.ts";
import type { Architecture } from "./syscalls.ts";

/** Operation codes used: load word at absolute offset, and with constant, jump if equal / greater or equal, return constant. */
const LOAD = 0x20;
const AND = 0x54;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER_EQUAL = 0x35;
const RETURN = 0x06;

const ALLOW = 0x7fff0000;
const ERRNO = 0x00050000;
const KILL_PROCESS = 0x80000000;

/** Offsets in struct seccomp_data. */
const DATA_NUMBER = 0;
const DATA_ARCHITECTURE = 4;
const DATA_ARGUMENTS = 16;

const INSTRUCTION_SIZE = 8;
/** BPF_MAXINSNS */
const MAX_INSTRUCTIONS = 4096;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, constant: number];

const refuse = (errno: number): Instruction => [RETURN, 0, 0, ERRNO | errno];
const allow: Instruction = [RETURN, 0, 0, ALLOW];

/** Leaves the condition's failure to a return with EPERM. Both supported architectures are little-endian. */
function check({ argument, mask, oneOf }: Condition): Instruction[] {
  const low = DATA_ARGUMENTS + 8 * argument;
  return [
    // The kernel ignores the upper half of 32-bit arguments and masks care for low bits, hence a check only for exact values of 0.
    ...(oneOf.length === 1 && oneOf[0] === 0
      ? [[LOAD, 0, 0, low + 4] as const, [JUMP_EQUAL, 1, 0, 0] as const, refuse(EPERM)]
      : []),
    [LOAD, 0, 0, low],
    ...(mask === undefined ? [] : [[AND, 0, 0, mask] as const]),
    ...oneOf.map((value, i): Instruction => [JUMP_EQUAL, oneOf.length - i, 0, value]),
    refuse(EPERM),
  ];
}

/** The program for `prctl` or `seccomp`: an array of struct sock_filter in host (little-endian) order. */
export function compileSeccomp(policy: SeccompPolicy, architecture: Architecture): Uint8Array {
  const program: Instruction[] = [
    [LOAD, 0, 0, DATA_ARCHITECTURE],
    [JUMP_EQUAL, 1, 0, architecture.audit],
    [RETURN, 0, 0, KILL_PROCESS],
    [LOAD, 0, 0, DATA_NUMBER],
  ];
  if (architecture.foreignAbiFrom !== undefined) {
    program.push([JUMP_GREATER_EQUAL, 0, 1, architecture.foreignAbiFrom], refuse(EPERM));
  }
  for (const [call, rule] of policy.rules) {
    const number = architecture.number(call);
    if (number === undefined) continue;
    const body = "refuse" in rule ? [refuse(rule.refuse)] : [...rule.when.flatMap(check), allow];
    program.push([JUMP_EQUAL, 0, body.length, number], ...body);
  }
  program.push(policy.otherwise === "allow" ? allow : refuse(policy.otherwise.refuse));
  if (program.length > MAX_INSTRUCTIONS)
    throw new RangeError(`${program.length} instructions, at most ${MAX_INSTRUCTIONS}`);

  const bytes = new Uint8Array(program.length * INSTRUCTION_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [i, [code, ifTrue, ifFalse, constant]] of program.entries()) {
    const at = i * INSTRUCTION_SIZE;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, ifTrue);
    view.setUint8(at + 3, ifFalse);
    view.setUint32(at + 4, constant >>> 0, true);
  }
  return bytes;
}
