// NIST SP 800-57 Part 1 Rev. 5 §7: key states, transitions, and what a key in each state may do.
import type { KeyState, Transition } from "../types.ts";

/** One row per state: the states it may move to. `destroyed` is final. */
export const TRANSITIONS: Readonly<Record<KeyState, readonly KeyState[]>> = {
  "pre-active": ["active", "compromised", "destroyed"],
  active: ["suspended", "deactivated", "compromised"],
  suspended: ["active", "deactivated", "compromised"],
  deactivated: ["compromised", "destroyed"],
  compromised: ["destroyed"],
  destroyed: [],
};

/** The moves a caller may ask for: where they lead, and from where. */
export const MOVES: Readonly<Record<Transition, { readonly from: readonly KeyState[]; readonly to: KeyState }>> = {
  activate: { from: ["pre-active"], to: "active" },
  suspend: { from: ["active"], to: "suspended" },
  resume: { from: ["suspended"], to: "active" },
  deactivate: { from: ["active", "suspended"], to: "deactivated" },
  compromise: { from: ["pre-active", "active", "suspended", "deactivated"], to: "compromised" },
};

export const OPERATIONS = [
  "sign",
  "verify",
  "encrypt",
  "decrypt",
  "mac",
  "mac-verify",
  "agree",
  "encapsulate",
  "decapsulate",
  "wrap",
  "unwrap",
  "export",
  "data-keys",
  "public",
] as const;
export type Operation = (typeof OPERATIONS)[number];

const PROCESS: readonly Operation[] = ["verify", "decrypt", "mac-verify", "agree", "decapsulate", "unwrap", "public"];

/** The matrix state × operation. Applying protection needs `active`; processing what exists goes on until destruction. */
export const ALLOWED: Readonly<Record<KeyState, ReadonlySet<Operation>>> = {
  "pre-active": new Set<Operation>(["public"]),
  active: new Set(OPERATIONS),
  suspended: new Set<Operation>(["verify", "mac-verify", "public"]),
  deactivated: new Set(PROCESS),
  compromised: new Set(PROCESS),
  destroyed: new Set<Operation>(),
};

export function mayMove(from: KeyState, to: KeyState): boolean {
  return TRANSITIONS[from].includes(to);
}
