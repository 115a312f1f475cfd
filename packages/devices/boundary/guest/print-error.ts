import { writeSync } from "node:fs";
import { isCasemateError } from "@casemate/foundation/errors";

/** Name and place of an unexpected error; its message may quote input and stays inside. Written at once, from any thread. */
export function printError(error: unknown): void {
  const stack = error instanceof Error ? (error.stack ?? "").split("\n").slice(1, 4).join(" <") : "";
  const message = isCasemateError(error) ? error.message : "";
  try {
    writeSync(2, `${error instanceof Error ? error.name : typeof error}: ${message}${stack}\n`);
  } catch {
    // nobody reads it any more
  }
}
