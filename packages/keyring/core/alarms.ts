import type { CasemateError } from "@casemate/foundation/errors";
import type { Recorder } from "./recorder.ts";

/** What is found wrong with the past while the keyring works: said until it ends, logged, and on record. */
export class Alarms {
  readonly #recorder: Recorder;
  readonly #log: (message: string, error?: unknown) => void;
  #first: string | undefined;

  constructor(recorder: Recorder, log: (message: string, error?: unknown) => void) {
    this.#recorder = recorder;
    this.#log = log;
  }

  /** The first one, in one sentence. */
  get first(): string | undefined {
    return this.#first;
  }

  raise(action: string, found: CasemateError): void {
    if (this.#first === found.message) return;
    this.#first ??= found.message;
    this.#log(found.message, found);
    this.#recorder
      .append({
        principal: "casemate",
        source: "keyring",
        action,
        resource: "",
        outcome: found.code,
        count: 1,
        details: { found: found.message.slice(0, 256), ...found.details },
      })
      .catch((cause: unknown) => this.#log("the finding could not be recorded", cause));
  }
}
