/** driver → virtual HSM: this process is the driver's side and counts as server; the boundary process is the engine. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Device } from "@casemate/devices/contract";
import { openVirtualHsm } from "@casemate/devices/driver-hsm";
import type { Case } from "./cases.ts";
import { cpuSeconds } from "./machine.ts";
import type { Load } from "./report.ts";

const IN_FLIGHT = 64;

export interface EngineBench extends AsyncDisposable {
  measure(item: Case, seconds: number): Promise<Load>;
}

export async function openEngine(): Promise<EngineBench> {
  const folder = mkdtempSync(join(tmpdir(), "casemate-bench-"));
  const device: Device = await openVirtualHsm({
    id: "hsm-1",
    entry: join(import.meta.dirname, "../packages/devices/virtual-hsm/main.ts"),
    stateDirectory: join(folder, "state"),
    root: { kind: "key-file", path: join(folder, "root.key") },
  });
  const pid = (await device.status()).pid;
  if (pid === undefined) throw new Error("the device does not tell its process");
  return {
    async measure(item, seconds) {
      const once = await prepare(device, item);
      await during(once, Math.min(0.5, seconds / 4), IN_FLIGHT);
      const engine = cpuSeconds(pid);
      const own = process.cpuUsage();
      const { times, wallSeconds } = await during(once, seconds, IN_FLIGHT);
      const used = process.cpuUsage(own);
      const sorted = times.toSorted();
      return {
        operations: sorted.length,
        wallSeconds,
        cpuSeconds: cpuSeconds(pid) - engine + (used.user + used.system) / 1e6,
        p50Ms: sorted[Math.floor(sorted.length * 0.5)] ?? Number.NaN,
        p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
      };
    },
    async [Symbol.asyncDispose]() {
      await device.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function prepare(device: Device, item: Case): Promise<() => Promise<unknown>> {
  const { work, data } = item;
  const { ref } = await device.keys.generate({ algorithm: item.algorithm, usages: [work.kind], exportable: false });
  const { sign, cipher } = device;
  if (work.kind === "sign" && sign !== undefined) {
    return async () => good(await sign.sign(ref, work.scheme, work.input, [data]));
  }
  if (work.kind === "encrypt" && cipher !== undefined) {
    const items = [{ data }];
    return async () => good(await cipher.encrypt(ref, work.scheme, items));
  }
  throw new Error(`the device has no facet for ${item.name}`);
}

export function good(results: readonly unknown[]): void {
  const [first] = results;
  if (!(first instanceof Uint8Array)) throw new Error("an operation failed", { cause: first });
}

/** `inFlight` at a time for `seconds`; latencies in ms. */
export async function during(
  once: () => Promise<unknown>,
  seconds: number,
  inFlight: number,
): Promise<{ readonly times: Float64Array; readonly wallSeconds: number }> {
  let times = new Float64Array(1 << 16);
  let count = 0;
  const begun = performance.now();
  const until = begun + seconds * 1000;
  const worker = async (): Promise<void> => {
    for (let start = performance.now(); start < until;) {
      await once();
      const now = performance.now();
      if (count === times.length) {
        const larger = new Float64Array(count * 2);
        larger.set(times);
        times = larger;
      }
      times[count++] = now - start;
      start = now;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return { times: times.subarray(0, count), wallSeconds: (performance.now() - begun) / 1000 };
}
