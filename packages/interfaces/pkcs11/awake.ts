// Keeps the event loop from sleeping for a moment after an answer, where applications are served faster so.
import { availableParallelism } from "node:os";

/** Milliseconds. An application that signs in a loop asks again within less, and an RSA-2048 signature of the device takes less. */
const MOMENT = 0.6;
/** Milliseconds in which applications that ask are counted. */
const WINDOW = 10;
/** Milliseconds for which staying awake, and then sleeping, is tried, and for which the better one is kept. */
const TRY = 50;
const KEEP = 1000;
/** Staying awake costs processor time, so it must be that much faster. */
const BETTER = 1.05;

type Phase = "try-awake" | "try-asleep" | "keep";

/**
 * An application waits for each answer before it asks again, and p11-kit asks twice for a signature. Where an idle
 * processor is stopped, above all in virtual machines, to sleep in between and be woken takes longer than the wait itself;
 * then the loop looks again instead, for a moment. Where other processes want the processor that only takes it from them.
 * Which of the two holds is found by trying: both for a little while, then the one under which more was asked.
 * Where applications and the device's process fill the processors the loop sleeps, whatever was found.
 */
export class Awake {
  readonly #now: () => number;
  /** Applications that leave a processor to a loop that stays awake. */
  readonly #places: number;
  readonly #asking = new Set<object>();
  #crowded = false;
  #countedAt = -Infinity;
  #answeredAt = -Infinity;
  #until = -Infinity;
  #turning = false;
  #phase: Phase = "keep";
  #since = -Infinity;
  #questions = 0;
  #awakeRate = 0;
  #kept = false;

  constructor(now: () => number = () => performance.now(), processors = availableParallelism()) {
    this.#now = now;
    this.#places = Math.max(1, Math.floor(processors / 2));
  }

  /** `who` asked something. */
  asked(who: object): void {
    this.#questions++;
    const now = this.#now();
    this.#count(who, now);
    const spent = now - this.#since;
    const planned = this.#phase === "keep" ? KEEP : TRY;
    if (spent >= planned) this.#next(now, spent, planned);
  }

  /** An answer was written. */
  answered(): void {
    const now = this.#now();
    const soon = now - this.#answeredAt <= 2 * MOMENT;
    this.#answeredAt = now;
    const stay = this.#phase === "try-awake" || (this.#phase === "keep" && this.#kept);
    // Answers that follow each other closely are those of an application in a loop; others are not waited for.
    if (!stay || !soon || this.#crowded) return;
    this.#until = now + MOMENT;
    if (this.#turning) return;
    this.#turning = true;
    setImmediate(this.#turn);
  }

  /** Whether the loop is kept from sleeping. */
  get turning(): boolean {
    return this.#turning;
  }

  #count(who: object, now: number): void {
    if (now - this.#countedAt > WINDOW) {
      this.#crowded = this.#asking.size > this.#places;
      this.#asking.clear();
      this.#countedAt = now;
    }
    this.#asking.add(who);
    if (this.#asking.size > this.#places) this.#crowded = true;
  }

  #next(now: number, spent: number, planned: number): void {
    const rate = this.#questions / spent;
    // A pause in between says nothing about either way.
    const comparable = spent < 2 * planned;
    if (this.#phase === "try-awake" && comparable) {
      this.#awakeRate = rate;
      this.#phase = "try-asleep";
    } else if (this.#phase === "try-asleep" && comparable) {
      this.#kept = this.#awakeRate > rate * BETTER;
      this.#phase = "keep";
    } else this.#phase = "try-awake";
    this.#since = now;
    this.#questions = 0;
  }

  readonly #turn = (): void => {
    if (this.#now() <= this.#until) setImmediate(this.#turn);
    else this.#turning = false;
  };
}
