// A guest for tests that serves its channel with blocking reads.
import { CasemateError } from "@casemate/foundation/errors";
import { serveBlocking } from "./index.ts";

serveBlocking({
  descriptor: 3,
  steps: [],
  handle(op, body) {
    if (op === 1) return body;
    if (op === 2) return new Uint8Array(17 * 1024 * 1024);
    if (op === 3) throw new TypeError("this text stays inside");
    throw new CasemateError("NOT_SUPPORTED", `op ${op}`, { hint: "Take another." });
  },
});
