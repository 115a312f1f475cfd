// Use cases in which an interface does the work itself, under policy and on record.
import type { SessionKeyAction } from "../actions.ts";
import type { Caller } from "../types.ts";

/** For the record: which session key, and what is done with it. No value, no input, no output. */
interface SessionKeyWork {
  /** A number that is the key's own as long as the server runs. */
  readonly number: number;
  readonly details: Readonly<Record<string, string | number | boolean>>;
}

/**
 * Work on an application's own key, which a process of an interface holds: `work` runs when policy allows it, and is on
 * record before its result is answered.
 */
export type SessionKeyUseCase = <T>(
  caller: Caller,
  action: SessionKeyAction,
  about: SessionKeyWork,
  work: () => Promise<T>,
) => Promise<T>;
/** Runs `work`, which needs the public value alone, when policy and the key's state allow it, and records it. @throws NOT_FOUND, FORBIDDEN, KEY_USAGE, KEY_STATE. */
export type PublicHalfUseCase = <T>(
  caller: Caller,
  name: string,
  use: {
    readonly action: "key.verify" | "key.encrypt";
    readonly version: number;
    readonly details: Readonly<Record<string, string | number | boolean>>;
  },
  work: () => T | Promise<T>,
) => Promise<T>;
