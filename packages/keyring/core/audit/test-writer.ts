/** For recovery.test.ts: appends with 64 in flight and prints how many records are acknowledged, until it is killed. */
import { systemClock } from "@casemate/foundation/effects";
import type { Durability } from "../ports.ts";
import { openAudit } from "./open-audit.ts";
import { entry, testSigner } from "./test-support.ts";

const log = await openAudit({
  directory: process.argv[2] ?? "",
  clock: systemClock,
  segmentBytes: 50_000,
  recordsPerSave: 100,
  recordsPerCheckpoint: 200,
  checkpointIntervalMs: 10,
});
log.useSigner(testSigner());
async function client(durability: Durability): Promise<void> {
  for (;;) {
    const index = await log.append(entry(), durability);
    process.stdout.write(`${index + 1}\n`);
  }
}
await Promise.all(Array.from({ length: 64 }, (_, i) => client(i % 2 === 0 ? "durable" : "relaxed")));
