// A guest for tests: answers, fails, stalls and tries what must be refused.
import { fstatSync } from "node:fs";
import { CasemateError } from "@casemate/foundation/errors";
import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import { guestBoot, hardenGuest, serveGuest } from "./index.ts";

const boot = guestBoot();

function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch {
    return false;
  }
}

type Handler = (body: Uint8Array) => Uint8Array | Promise<Uint8Array>;

const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [1, (body) => body],
  [2, (body) => new Promise((resolve) => setImmediate(resolve, body))],
  [
    3,
    () => {
      throw new CasemateError("KEY_STATE", "the key is deactivated", {
        hint: "Use a newer version.",
        details: { state: "deactivated", version: 3, ratio: 0.5, retired: true },
      });
    },
  ],
  [4, () => new Promise(() => undefined)],
  [5, () => process.exit(9)],
  [
    6,
    (body) => {
      throw new TypeError(`input was ${fromUtf8(body)}`);
    },
  ],
  [
    9,
    () => {
      for (;;) performance.now(); // stuck
    },
  ],
  [10, () => toUtf8(String(Array.from({ length: 100 }, (_, fd) => fd).filter(isFile)))],
  [7, () => new Uint8Array(17 * 1024 * 1024)],
  [8, () => toUtf8(JSON.stringify({ ...boot, testSeed: boot.testSeed?.toHex(), env: process.env }))],
]);

serveGuest({
  steps: hardenGuest(),
  handle(op, body) {
    const handler = HANDLERS.get(op);
    if (handler === undefined) throw new CasemateError("NOT_SUPPORTED", `op ${op}`);
    return handler(body);
  },
});
