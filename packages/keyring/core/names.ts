/** The words of the keyring that its callers use. A file without imports: programs that need the words alone do not load the keyring. */

export const ROLES = ["admin", "operator", "user", "auditor"] as const;
export type Role = (typeof ROLES)[number];

/** Days that a token may hold at most. */
export const MAX_TOKEN_DAYS = 3650;

/** NIST SP 800-57 Part 1 Rev. 5 §7. `destroying` is deactivated with a destruction date. */
export const KEY_STATES = ["pre-active", "active", "suspended", "deactivated", "compromised", "destroyed"] as const;
export type KeyState = (typeof KEY_STATES)[number];
