/** What every operation of one thread works with. */
import type { Plan } from "../plan.ts";
import type { Addon, Cryptoki } from "./addon.ts";
import type { Session } from "./session.ts";

export interface Lane {
  readonly cryptoki: Cryptoki;
  readonly params: Addon["params"];
  readonly session: Session;
  /** Label of the token. */
  readonly token: string;
  plan: Plan;
}
