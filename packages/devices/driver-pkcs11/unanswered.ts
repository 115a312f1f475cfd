/** Keys whose making got no answer: the token may hold them all the same, and nothing would ever refer to them. */
import { randomBytes } from "node:crypto";
import { isCasemateError, type ErrorCode } from "@casemate/foundation/errors";

const ID_BYTES = 16;
/** More than these are given up, the oldest first. */
const MOST = 1024;
/** Connections that may end over one of them. */
const MOST_TRIES = 3;
/** Errors after which nobody knows what the token did; after all others the vendor host undid it, or says that it could not. */
const OPEN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "DEVICE_RESTARTED",
  "TIMEOUT",
  "DEVICE_ABSENT",
  "DEVICE_LOCKED",
]);

export class Unanswered {
  readonly #tries = new Map<Uint8Array, number>();
  readonly #log: (line: string) => void;
  #rounds: Promise<void> = Promise.resolve();

  constructor(log: (line: string) => void = () => undefined) {
    this.#log = log;
  }

  /** Runs what makes a key of the id that it is given, and remembers the id when it may have been made all the same. */
  async making<T>(make: (id: Uint8Array) => Promise<T>): Promise<T> {
    const id = new Uint8Array(randomBytes(ID_BYTES));
    try {
      return await make(id);
    } catch (error) {
      if (isCasemateError(error) && (OPEN.has(error.code) || error.details["left"] === true)) {
        for (const oldest of this.#tries.keys()) if (this.#tries.size < MOST || !this.#tries.delete(oldest)) break;
        this.#tries.set(id, 0);
      }
      throw error;
    }
  }

  get any(): boolean {
    return this.#tries.size > 0;
  }

  /**
   * Has them taken back, one after the other, by `take`, which answers how many objects there were. What cannot be is given up, since the
   * device is to work, and since somebody may adopt it then. @throws what ended the connection; the rest is kept for the next one.
   */
  takeBack(take: (id: Uint8Array) => Promise<number>): Promise<void> {
    // One round after the other: several for one connection that ends would count as several.
    const turn = this.#rounds.then(() => this.#takeAll(take));
    this.#rounds = turn.catch(() => undefined);
    return turn;
  }

  async #takeAll(take: (id: Uint8Array) => Promise<number>): Promise<void> {
    for (const [id, tries] of this.#tries) {
      const what = `a key whose making got no answer (CKA_ID ${Buffer.from(id).toString("hex")})`;
      this.#tries.set(id, tries + 1);
      try {
        // oxlint-disable-next-line no-await-in-loop -- few, and a token does one thing at a time
        const objects = await take(id);
        if (objects > 0) this.#log(`took back ${what}: ${objects} objects`);
        this.#tries.delete(id);
      } catch (error) {
        const again = isCasemateError(error) && OPEN.has(error.code);
        if (!again || tries + 1 >= MOST_TRIES) {
          this.#tries.delete(id);
          this.#log(`${what} may be in the token still: ${String(error)}`);
        }
        if (again) throw error;
      }
    }
  }
}
