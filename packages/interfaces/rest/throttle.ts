/** Slows down whoever keeps presenting tokens that are not good, so that nobody can fill the audit log or keep the server busy with guesses. */
import type { Clock } from "@casemate/foundation/effects";
import { hash } from "node:crypto";

/** Failures of one source: so many at once, and so many a second after that. */
const BURST = 50;
const PER_SECOND = 5;
/** Sources and good tokens remembered; the oldest go first. */
const REMEMBERED = 4096;

interface Bucket {
  left: number;
  at: number;
}

export class Throttle {
  readonly #clock: Clock;
  readonly #buckets = new Map<string, Bucket>();
  /** Hashes of tokens that were good before: their owners are not slowed down by a bad neighbour. */
  readonly #good = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether this token from this source may be tried now. */
  allows(source: string, token: string): boolean {
    const bucket = this.#buckets.get(source);
    return bucket === undefined || this.#fill(bucket) >= 1 || this.#good.has(digest(token));
  }

  failed(source: string): void {
    const bucket = this.#buckets.get(source) ?? { left: BURST, at: this.#clock.monotonic() };
    bucket.left = Math.max(0, this.#fill(bucket) - 1);
    this.#buckets.delete(source);
    this.#buckets.set(source, bucket);
    forgetOldest(this.#buckets);
  }

  succeeded(token: string): void {
    const name = digest(token);
    if (this.#good.has(name)) return;
    this.#good.add(name);
    forgetOldest(this.#good);
  }

  #fill(bucket: Bucket): number {
    const now = this.#clock.monotonic();
    bucket.left = Math.min(BURST, bucket.left + ((now - bucket.at) / 1000) * PER_SECOND);
    bucket.at = now;
    return bucket.left;
  }
}

function digest(token: string): string {
  return hash("sha256", token, "base64");
}

function forgetOldest(entries: Map<string, unknown> | Set<string>): void {
  if (entries.size <= REMEMBERED) return;
  for (const name of entries.keys()) {
    entries.delete(name);
    return;
  }
}
