// Keeps the event loop from sleeping for a moment after an answer, while applications ask again that soon.

/** Milliseconds. An application that signs in a loop asks again within less. */
const MOMENT = 0.08;

/**
 * An application waits for each answer before it asks again, and p11-kit asks twice for a signature. Where an idle
 * processor is stopped, above all in virtual machines, to sleep in between and be woken takes longer than the wait itself.
 * So the loop looks again instead, for a moment, and only while that pays: after a moment in which nobody asked, the next
 * answers do without, until somebody asks that soon after one.
 */
export class Awake {
  readonly #now: () => number;
  #answeredAt = -Infinity;
  #until = -Infinity;
  #turning = false;
  #pays = false;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Somebody asked something. */
  asked(): void {
    this.#pays = this.#now() - this.#answeredAt <= MOMENT;
  }

  /** An answer was written. */
  answered(): void {
    this.#answeredAt = this.#now();
    if (!this.#pays) return;
    this.#until = this.#answeredAt + MOMENT;
    if (this.#turning) return;
    this.#turning = true;
    setImmediate(this.#turn);
  }

  /** Whether the loop is kept from sleeping. */
  get turning(): boolean {
    return this.#turning;
  }

  readonly #turn = (): void => {
    if (this.#now() <= this.#until) setImmediate(this.#turn);
    else this.#turning = false;
  };
}
