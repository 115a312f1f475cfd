/** The vendor host's entry: one thread per channel, all calling the same module. The number of channels is its only argument. */
import { writeSync } from "node:fs";
import process from "node:process";
import { Worker, isMainThread, workerData } from "node:worker_threads";

const FIRST_CHANNEL_FD = 3;

if (isMainThread) {
  process.title = "casemate: vendor host";
  const channels = Number(process.argv[2]);
  for (let thread = 0; thread < channels; thread++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: FIRST_CHANNEL_FD + thread });
    worker.on("error", (error) => writeSync(2, `thread ${thread}: ${String(error)}\n`));
    // Threads share the module's state: one that failed leaves it unknown, and one whose channel was closed has no use for
    // it. The others wait inside system calls or the module, where only a signal ends them.
    worker.on("exit", () => process.kill(process.pid, "SIGKILL"));
  }
} else {
  const { serveLane } = await import("./serve-lane.ts");
  serveLane(workerData as number);
}
