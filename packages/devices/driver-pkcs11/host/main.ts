/** The vendor host's entry: one thread per channel, all calling the same module. The number of channels is its only argument. */
import process from "node:process";
import { Worker, isMainThread, workerData } from "node:worker_threads";
import { serveLane } from "./serve-lane.ts";

const FIRST_CHANNEL_FD = 3;
const THREAD_ENDED = 70;

if (isMainThread) {
  process.title = "casemate: vendor host";
  const channels = Number(process.argv[2]);
  for (let thread = 1; thread < channels; thread++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: FIRST_CHANNEL_FD + thread });
    worker.on("error", (error) => process.stderr.write(`thread ${thread}: ${String(error)}\n`));
    // Threads share the module's state: one that failed leaves it unknown.
    worker.on("exit", () => process.exit(THREAD_ENDED));
  }
  serveLane(FIRST_CHANNEL_FD);
} else {
  serveLane(workerData as number);
}
