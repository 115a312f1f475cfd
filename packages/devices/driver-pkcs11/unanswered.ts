/** Keys whose making got no answer: the token may hold them all the same, and nothing would ever refer to them. */
import { randomBytes } from "node:crypto";
import { isCasemateError, type ErrorCode } from "@casemate/foundation/errors";

const ID_BYTES = 16;
/** More than these are given up, the oldest first. */
const MOST = 1024;
/** Errors after which nobody knows what the token did; after all others the vendor host undid it. */
const OPEN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "DEVICE_RESTARTED",
  "TIMEOUT",
  "DEVICE_ABSENT",
  "DEVICE_LOCKED",
]);

export class Unanswered {
  readonly #ids = new Set<Uint8Array>();

  /** Runs what makes a key of the id that it is given, and remembers the id when no answer comes. */
  async making<T>(make: (id: Uint8Array) => Promise<T>): Promise<T> {
    const id = new Uint8Array(randomBytes(ID_BYTES));
    try {
      return await make(id);
    } catch (error) {
      if (isCasemateError(error) && OPEN.has(error.code)) {
        for (const oldest of this.#ids) if (this.#ids.size < MOST || !this.#ids.delete(oldest)) break;
        this.#ids.add(id);
      }
      throw error;
    }
  }

  /** Has them taken back, one after the other. @throws what `take` throws; the rest is kept for the next time. */
  async takeBack(take: (id: Uint8Array) => Promise<unknown>): Promise<void> {
    for (const id of this.#ids) {
      // oxlint-disable-next-line no-await-in-loop -- few, and a token does one thing at a time
      await take(id);
      this.#ids.delete(id);
    }
  }
}
