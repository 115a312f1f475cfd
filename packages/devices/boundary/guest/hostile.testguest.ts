// A guest that has turned against its host: breaks the channel's format in the way that the request asks for.
import { writeSync } from "node:fs";
import { guestBoot, hardenGuest, serveGuest } from "./index.ts";

guestBoot();

function frame(length: number, id: number, status: number, body: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(9 + body.length);
  bytes.writeUInt32BE(length);
  bytes.writeUInt32BE(id, 4);
  bytes[8] = status;
  bytes.set(body, 9);
  return bytes;
}

const nothing = new Uint8Array(0);

const OUTPUT: ReadonlyMap<number, Uint8Array> = new Map([
  [1, frame(16 * 1024 * 1024 + 1, 1, 0, nothing)],
  [2, frame(4, 1, 0, nothing)],
  [3, frame(5, 0xfffffff0, 0, nothing)], // an answer to nothing
  [4, frame(5, 1, 200, nothing)], // a status that does not exist
  [5, frame(6, 1, 1, new Uint8Array(1))], // an error that ends early
  [6, frame(5, 0, 0xff, nothing)], // a second, empty isolation report
]);

serveGuest({
  steps: hardenGuest(),
  handle(op) {
    const output = OUTPUT.get(op);
    if (output === undefined) {
      writeSync(3, frame(500, 1, 0, new Uint8Array(10))); // cut off in the middle
      process.exit(3);
    }
    writeSync(3, output);
    return new Promise(() => undefined);
  },
});
