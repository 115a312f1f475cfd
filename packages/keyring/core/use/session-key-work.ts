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
