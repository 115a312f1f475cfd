import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { openVirtualHsm } from "@casemate/devices/driver-hsm";
import { deviceContract } from "@casemate/testkit/device-contract";

const places: string[] = [];
after(() => Promise.all(places.map((place) => rm(place, { recursive: true, force: true }))));

async function open() {
  const place = await mkdtemp(join(tmpdir(), "casemate-contract-"));
  places.push(place);
  return openVirtualHsm({
    id: "hsm-1",
    entry: fileURLToPath(new URL("../virtual-hsm/main.ts", import.meta.url)),
    stateDirectory: join(place, "state"),
    root: { kind: "key-file", path: join(place, "root.key") },
  });
}

const slow = ["sha2", "shake"].flatMap((hash) => ["128s", "192s", "256s"].map((set) => `sign slh-dsa-${hash}-${set}`));

deviceContract({
  name: "virtual HSM",
  open,
  openOther: open,
  skip: [
    { cases: slow, reason: "one signature takes up to a second, and generating the key has made and checked one" },
  ],
});
