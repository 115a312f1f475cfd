/** Audit of requests that were refused before any use case. Strangers cannot fill the log, and nothing is lost uncounted. */
import { CasemateError } from "@casemate/foundation/errors";
import type { Clock } from "@casemate/foundation/effects";
import type { Caller, Keyring } from "@casemate/keyring/core";
import type { RestLog } from "./log.ts";

/** Records for callers without a valid token: so many at once, and so many a second after that. */
const BURST = 100;
const PER_SECOND = 20;
/** How often what was left out is recorded as one sum. */
const SUM_EVERY_MS = 5_000;

export class Refusals {
  readonly #keyring: Keyring;
  readonly #clock: Clock;
  readonly #log: RestLog;
  #budget = BURST;
  #filledAt: number;
  #leftOut = 0;
  #timer: NodeJS.Timeout | undefined;
  /** For /metrics. */
  recorded = 0;
  summed = 0;
  unrecorded = 0;

  constructor(keyring: Keyring, clock: Clock, log: RestLog) {
    this.#keyring = keyring;
    this.#clock = clock;
    this.#log = log;
    this.#filledAt = clock.monotonic();
  }

  /** Resolves once the record is durable, or counted into the next sum (false). Never rejects: the request is refused either way. */
  async record(caller: Caller | undefined, source: string, action: string, error: CasemateError): Promise<boolean> {
    if (caller === undefined && !this.#affordable()) {
      this.#leftOut++;
      this.summed++;
      this.#timer ??= setTimeout(() => void this.flush(), SUM_EVERY_MS).unref();
      return false;
    }
    await this.#write(caller, source, action, error);
    return true;
  }

  /** Records the sum of what was left out, if anything was. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const count = this.#leftOut;
    if (count === 0) return;
    this.#leftOut = 0;
    const error = new CasemateError("RATE_LIMITED", `${count} further requests without a valid token were refused`, {
      details: { suppressed: count },
    });
    await this.#write(undefined, "rest", `sum of ${count} requests`, error);
  }

  #affordable(): boolean {
    const now = this.#clock.monotonic();
    this.#budget = Math.min(BURST, this.#budget + ((now - this.#filledAt) / 1000) * PER_SECOND);
    this.#filledAt = now;
    if (this.#budget < 1) return false;
    this.#budget--;
    return true;
  }

  async #write(caller: Caller | undefined, source: string, action: string, error: CasemateError): Promise<void> {
    try {
      await this.#keyring.refused(caller, source, action, error);
      this.recorded++;
    } catch (failure) {
      this.unrecorded++;
      this.#log.error({ err: failure, code: error.code, action }, "a refusal could not be recorded");
    }
  }
}
