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

// Their trees take seconds to build and to sign with; the fast sets run the same code.
const slow = ["sha2-192s", "sha2-256s", "shake-128s", "shake-192s", "shake-256s"].flatMap((set) => [
  `keys slh-dsa-${set}`,
  `sign slh-dsa-${set}`,
]);

deviceContract({
  name: "virtual HSM",
  open,
  openOther: open,
  skip:
    process.env["CASEMATE_SLOW"] === undefined
      ? [{ cases: slow, reason: "takes seconds: CASEMATE_SLOW=1 runs it" }]
      : [],
});
