import type { CasemateError } from "@casemate/foundation/errors";
import type { Recorder } from "./recorder.ts";

/** What is found wrong with the past while the keyring works: said until it ends and, where it is kept, longer; logged, and on record. */
export class Alarms {
  readonly #recorder: Recorder;
  readonly #log: (message: string, error?: unknown) => void;
  #first: { readonly message: string; readonly ending: string | undefined } | undefined;

  constructor(recorder: Recorder, log: (message: string, error?: unknown) => void) {
    this.#recorder = recorder;
    this.#log = log;
  }

  /** The first one, in one sentence. */
  get first(): string | undefined {
    const { message, ending } = this.#first ?? {};
    return ending === undefined ? message : `${message}; ${ending}`;
  }

  /** `ending` says what ends an alarm that outlives the server; whoever reads the record sees by `until` that it does. */
  raise(action: string, found: CasemateError, ending?: string): void {
    if (this.#first?.message === found.message) return;
    this.#first ??= { message: found.message, ending };
    this.#log(found.message, found);
    this.#recorder
      .append({
        principal: "casemate",
        source: "keyring",
        action,
        resource: "",
        outcome: found.code,
        count: 1,
        details: {
          found: found.message.slice(0, 256),
          ...found.details,
          ...(ending === undefined ? {} : { until: "settled" }),
        },
      })
      .catch((cause: unknown) => this.#log("the finding could not be recorded", cause));
  }
}
