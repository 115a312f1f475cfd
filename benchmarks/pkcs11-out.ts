/**
 * driver-pkcs11 on SoftHSM 2 against a C loop on the same module and token, 4 operations in flight on both sides: 4 calls of one input each that
 * are not answered yet here, 4 threads there, each of which has 1. A loop of 1 thread would be the easier divisor, since it leaves a core idle; it is
 * measured in the same rounds and shown, and the target is for the loop of 4. A batch of 4 inputs in one call would be easier still: a program
 * that waits for each of its answers has none. The key of both is a private key of the token that both find once.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Device, InputKind, KeyAlgorithm, SignScheme } from "@casemate/devices/contract";
import { openPkcs11Device } from "@casemate/devices/driver-pkcs11";
import { toUtf8 } from "@casemate/foundation/bytes";
import { SecretBytes } from "@casemate/foundation/secrets";
import { during, good } from "./engine.ts";
import { cpuSeconds } from "./machine.ts";
import {
  compileLoop,
  loop,
  must,
  PIN,
  SOFTHSM,
  softhsmToken,
  TOKEN,
  type LoopMeasured,
  type Measured,
} from "./softhsm.ts";

const ADDON = join(import.meta.dirname, "../node_modules/.cache/pkcs11js/node_modules/pkcs11js");
const IN_FLIGHT = 4;
const WARM_UP_SECONDS = 1;
/** Each of the vendor host's threads compiles its own code when that is hot; with a slow operation that takes a while. A server runs for weeks. */
const FIRST_WARM_UP_SECONDS = 10;
/** They take turns, so that a machine that drifts favours none; the ratio is the median of the rounds' own. */
const ROUNDS = 5;
const TARGET = 0.9;

interface Signing {
  readonly name: KeyAlgorithm;
  readonly make: "rsa" | "ec";
  readonly mechanismNumber: number;
  readonly scheme: SignScheme;
  readonly kind: InputKind;
}
const SIGNINGS: readonly Signing[] = [
  { name: "rsa-2048", make: "rsa", mechanismNumber: 0x40, scheme: "rsa-pkcs1-sha256", kind: "message" },
  { name: "ec-p256", make: "ec", mechanismNumber: 0x1041, scheme: "ecdsa-sha256", kind: "digest" },
];
const INPUT = createHash("sha256").update("a message of 32 bytes, as it were").digest();

export interface Pkcs11OutRow {
  readonly operation: string;
  readonly driver: Measured;
  /** With as many threads as the driver has calls in flight. */
  readonly loop: LoopMeasured;
  readonly oneThread: LoopMeasured;
  /** To `loop`. */
  readonly ratio: number;
  readonly ratioToOneThread: number;
  readonly target: number;
  /** CPU of this process and of the vendor host for one signature. */
  readonly cpuMicros: number;
}

/** What is not installed, or undefined. */
export function pkcs11OutMissing(): string | undefined {
  return existsSync(join(ADDON, "build/Release/pkcs11.node")) ? undefined : "pkcs11js (tools/interop-packages)";
}

export async function pkcs11OutFigures(
  seconds: number,
  report: (row: Pkcs11OutRow) => void,
): Promise<readonly Pkcs11OutRow[]> {
  const folder = mkdtempSync(join(tmpdir(), "casemate-bench-"));
  try {
    const program = compileLoop(folder);
    const { pinFile, env } = softhsmToken(folder);
    for (const { name, make } of SIGNINGS) must(program, ["make", SOFTHSM, TOKEN, pinFile, name, make], env);
    const device = await openPkcs11Device({
      id: "p11-1",
      module: SOFTHSM,
      token: TOKEN,
      pin: () => Promise.resolve(new SecretBytes(toUtf8(PIN))),
      addon: ADDON,
      environment: env,
      sessions: IN_FLIGHT,
    });
    try {
      const rows: Pkcs11OutRow[] = [];
      for (const signing of SIGNINGS) {
        const words = [SOFTHSM, TOKEN, pinFile, signing.name, String(signing.mechanismNumber)];
        const byLoop: ByLoop = (threads) =>
          loop(program, words, { processes: 1, threads, warmUp: WARM_UP_SECONDS, seconds }, env);
        const row = await compareOne(device, signing, byLoop, seconds);
        rows.push(row);
        report(row);
      }
      return rows;
    } finally {
      await device.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type ByLoop = (threads: number) => Promise<LoopMeasured>;

const middle = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const middleOf = (all: readonly LoopMeasured[]): LoopMeasured => ({
  perSecond: Math.round(middle(all.map(({ perSecond }) => perSecond))),
  p50Us: Math.round(middle(all.map(({ p50Us }) => p50Us))),
  p99Us: Math.round(middle(all.map(({ p99Us }) => p99Us))),
  cpuUs: Math.round(middle(all.map(({ cpuUs }) => cpuUs))),
});

async function compareOne(
  device: Device,
  { name, scheme, kind }: Signing,
  byLoop: ByLoop,
  seconds: number,
): Promise<Pkcs11OutRow> {
  const { pid } = await device.status();
  const { ref } = await device.keys.generate({ algorithm: name, usages: ["sign"], exportable: false });
  const { sign } = device;
  if (pid === undefined || sign === undefined)
    throw new Error("the device does not tell its process, or does not sign");
  const once = async (): Promise<void> => good(await sign.sign(ref, scheme, kind, [INPUT]));
  const loops: LoopMeasured[] = [];
  const oneThread: LoopMeasured[] = [];
  const rates: number[] = [];
  let times: number[] = [];
  let cpu = 0;
  await during(once, FIRST_WARM_UP_SECONDS, IN_FLIGHT);
  for (let round = 0; round < ROUNDS; round++) {
    oneThread.push(await byLoop(1));
    loops.push(await byLoop(IN_FLIGHT));
    await during(once, WARM_UP_SECONDS, IN_FLIGHT);
    const host = cpuSeconds(pid);
    const own = process.cpuUsage();
    const { times: some } = await during(once, seconds, IN_FLIGHT);
    const used = process.cpuUsage(own);
    cpu += cpuSeconds(pid) - host + (used.user + used.system) / 1e6;
    rates.push(some.length / seconds);
    times = times.concat([...some]);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number => Math.round((times[Math.floor(times.length * share)] ?? Number.NaN) * 1000);
  const ratioTo = (all: readonly LoopMeasured[]): number =>
    Math.round(1000 * middle(rates.map((rate, i) => rate / (all[i]?.perSecond ?? Number.NaN)))) / 1000;
  return {
    operation: name,
    driver: { perSecond: Math.round(middle(rates)), p50Us: at(0.5), p99Us: at(0.99) },
    loop: middleOf(loops),
    oneThread: middleOf(oneThread),
    ratio: ratioTo(loops),
    ratioToOneThread: ratioTo(oneThread),
    target: TARGET,
    cpuMicros: Math.round((1e6 * cpu) / times.length),
  };
}

export const pkcs11OutHeader = (): string =>
  "operation   driver/s  p50/p99 µs  CPU µs     loop/s  p50/p99 µs  CPU µs     ÷ loop         1 thread/s   ÷ it";

export function formatPkcs11OutRow(row: Pkcs11OutRow): string {
  const { operation, driver, loop: peer, oneThread, ratio, ratioToOneThread, target, cpuMicros } = row;
  return [
    operation.padEnd(10),
    String(driver.perSecond).padStart(9),
    `${driver.p50Us}/${driver.p99Us}`.padStart(11),
    String(cpuMicros).padStart(7),
    String(peer.perSecond).padStart(10),
    `${peer.p50Us}/${peer.p99Us}`.padStart(11),
    String(peer.cpuUs).padStart(7),
    `${ratio.toFixed(2)} (≥ ${target.toFixed(2)} ${ratio >= target ? "✓" : "✗"})`.padStart(16),
    String(oneThread.perSecond).padStart(12),
    ratioToOneThread.toFixed(2).padStart(6),
  ].join(" ");
}
