// Keeps this loop and the processors from sleeping for a moment after an answer, where whoever asks is served faster so.
import { availableParallelism } from "node:os";
import { idleProcessors, type IdleProcessors } from "./idle-processors.ts";

/** Milliseconds. An application that signs in a loop asks again within less, and an RSA-2048 signature of the device takes less. */
const MOMENT = 0.6;
/** Milliseconds for which processors are held at least: asking the kernel costs as much as a wake-up. */
const HELD = 4;
/** Milliseconds in which applications that ask are counted. */
const WINDOW = 10;
/** Milliseconds for which staying awake and sleeping are tried at least, one after the other, and questions that it takes to compare them. */
const TRY = 25;
const ENOUGH = 100;
/** Milliseconds for which the better one is kept: twice as long each time that it is still the better one. */
const KEEP = 250;
const KEEP_MOST = 4000;
/** Milliseconds without a question after which another application may be asking: they are tried anew. */
const PAUSE = 50;
/** So that a machine that changes its pace favours neither. */
const TRIALS = [true, false, false, true] as const;
/** Staying awake costs power and processor time, so it must be that much faster to begin with, and not slower to go on. */
const BETTER = 1.05;
const AS_GOOD = 0.98;

export interface AwakeOptions {
  /** Milliseconds that only grow. */
  readonly now?: () => number;
  /** How many that ask leave a processor to a loop that stays awake. 0: processors are held, the loop sleeps. Default: half the processors. */
  readonly places?: number;
  readonly processors?: IdleProcessors;
}

/**
 * An application waits for each answer before it asks again, and p11-kit asks twice for a signature; a device's process waits
 * for its next message. Where an idle processor is stopped, above all in virtual machines, to sleep in between and be woken
 * takes longer than the wait itself. So for a moment the kernel is asked not to stop idle processors, where it lets this
 * process ask for that: it costs power, and other programs still get them at once. And the loop looks again instead of
 * sleeping, as long as whoever asks and the device's process leave a processor to it. Whether to stay awake is found by trying: both for a little while, then the one under which more
 * was asked.
 */
export class Awake {
  readonly #now: () => number;
  readonly #processors: IdleProcessors;
  /** How many leave a processor to a loop that stays awake. */
  readonly #places: number;
  readonly #asking = new Set<object>();
  #crowded = false;
  #countedAt = -Infinity;
  #answeredAt = -Infinity;
  #until = -Infinity;
  #turning = false;
  #looking: NodeJS.Timeout | undefined;
  /** Which of the trials is under way; TRIALS.length when they are over. */
  #trial: number = TRIALS.length;
  #since = -Infinity;
  #askedAt = -Infinity;
  #questions = 0;
  /** Questions in a millisecond, of these trials. */
  #asked = { awake: 0, asleep: 0 };
  /** Logarithm of how much more was asked awake, older trials by half: a busy moment does not decide alone. */
  #gain: number | undefined;
  #kept = false;
  #keep = KEEP;

  constructor({ now = () => performance.now(), places = half(), processors = idleProcessors() }: AwakeOptions = {}) {
    this.#now = now;
    this.#processors = processors;
    this.#places = places;
  }

  /** `who` asked something. */
  asked(who: object): void {
    this.#questions++;
    const now = this.#now();
    this.#count(who, now);
    const paused = now - this.#askedAt > PAUSE;
    this.#askedAt = now;
    const spent = now - this.#since;
    if (paused) {
      // What held for other applications says nothing about this one.
      this.#gain = undefined;
      this.#keep = KEEP;
      this.#begin(now);
    } else if (this.#trial === TRIALS.length) {
      if (spent >= this.#keep) this.#begin(now);
    } else if (spent >= TRY && this.#questions >= ENOUGH) this.#next(now, spent);
  }

  /** An answer was written. */
  answered(): void {
    const now = this.#now();
    const soon = now - this.#answeredAt <= 2 * MOMENT;
    this.#answeredAt = now;
    const stay = TRIALS[this.#trial] ?? this.#kept;
    // Answers that follow each other closely are those of an application in a loop; others are not waited for.
    if (!stay || !soon) return;
    this.#until = now + MOMENT;
    if (this.#processors.hold()) this.#looking ??= setTimeout(this.#look, HELD).unref();
    if (this.#crowded || this.#turning) return;
    this.#turning = true;
    setImmediate(this.#turn);
  }

  /** Whether the loop, or every processor, is kept from sleeping. */
  get staying(): boolean {
    return this.#turning || this.#looking !== undefined;
  }

  /** Lets go of what is held. */
  close(): void {
    clearTimeout(this.#looking);
    this.#looking = undefined;
    this.#until = -Infinity;
    this.#processors.release();
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

  #begin(now: number): void {
    this.#asked = { awake: 0, asleep: 0 };
    this.#turnTo(0, now);
  }

  #next(now: number, spent: number): void {
    this.#asked[TRIALS[this.#trial] === true ? "awake" : "asleep"] += this.#questions / spent;
    if (this.#trial + 1 === TRIALS.length) this.#decide();
    this.#turnTo(this.#trial + 1, now);
  }

  #decide(): void {
    const gain = Math.log(this.#asked.awake / this.#asked.asleep);
    this.#gain = this.#gain === undefined ? gain : (this.#gain + gain) / 2;
    const kept = this.#gain > Math.log(this.#kept ? AS_GOOD : BETTER);
    this.#keep = kept === this.#kept ? Math.min(2 * this.#keep, KEEP_MOST) : KEEP;
    this.#kept = kept;
  }

  #turnTo(trial: number, now: number): void {
    this.#trial = trial;
    this.#since = now;
    this.#questions = 0;
    // What was held for the last trial, or the time before it, is not to speak for the next.
    if (!(TRIALS[trial] ?? this.#kept)) this.close();
  }

  readonly #turn = (): void => {
    this.#turning = !this.#crowded && this.#now() <= this.#until;
    if (this.#turning) setImmediate(this.#turn);
  };

  readonly #look = (): void => {
    if (this.#now() - this.#answeredAt <= HELD) this.#looking = setTimeout(this.#look, HELD).unref();
    else this.close();
  };
}

const half = (): number => Math.max(1, Math.floor(availableParallelism() / 2));
