// Implements: PKCS #11 v3.0 §5.5, slots and tokens: one for the whole keyring, one for every device, one for every token that an application made.
import type { Caller, DeviceView } from "@casemate/keyring/core";
import { CK_UNAVAILABLE, CKF, type Version } from "@casemate/protocols/p11-rpc";
import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import { failure } from "./status.ts";

export interface Slot {
  readonly id: number;
  /** `made`: a token that C_InitToken made, with keys of its own. `free`: where C_InitToken makes the next. */
  readonly kind: "keyring" | "device" | "made" | "free";
  /** Device id, `casemate` for the whole keyring, or the name of a token that was made: the same over restarts. */
  readonly home: string;
  /** Only for the slot of a device. */
  readonly device: DeviceView | undefined;
  /** What C_InitToken called it. */
  label: string;
}

export const WHOLE_KEYRING = "casemate";
/** Tokens that applications may make. */
export const MAX_MADE = 256;
const MADE_NAME = /^token-[0-9a-f]{16}$/;

/** A name for a token that is made now: names sort in the order in which they were given, and so do slots after a restart. */
export function madeName(now: number, random: Uint8Array): string {
  return `token-${now.toString(16).padStart(12, "0")}${random.subarray(0, 2).toHex()}`;
}

/** Whether this is the name of a token that C_InitToken made. */
export function isMade(home: string): boolean {
  return MADE_NAME.test(home);
}

/** `text` in exactly `width` bytes, padded with spaces, never cut within a character. */
export function padded(text: string, width: number): string {
  const bytes = toUtf8(text);
  let end = Math.min(bytes.length, width);
  while (end < bytes.length && end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return fromUtf8(bytes.subarray(0, end)) + " ".repeat(width - end);
}

function version(text: string): Version {
  const [major = 0, minor = 0] = text.split(/\D+/).filter(Boolean).map(Number);
  return { major: Math.min(major, 255), minor: Math.min(minor, 255) };
}

/** Numbers below are those of the keyring and of devices, so that a device that is added moves no token that was made. */
const FIRST_MADE = 1024;

/** What is left in a slot whose device was removed. */
const withoutToken = (device: DeviceView | undefined): DeviceView | undefined =>
  device === undefined ? undefined : { ...device, status: { ...device.status, state: "absent" } };

export class Slots {
  readonly #fixed: Slot[] = [{ id: 0, kind: "keyring", home: WHOLE_KEYRING, device: undefined, label: WHOLE_KEYRING }];
  /** Tokens in the order in which they were made, then the free slot. */
  readonly #made: Slot[] = [];

  /** Adds slots for new devices and refreshes the others; a slot keeps its number. Answers those whose device was removed since. */
  update(devices: readonly DeviceView[]): readonly number[] {
    for (const device of [...devices].toSorted((a, b) => (a.identity.id < b.identity.id ? -1 : 1))) {
      const at = this.#fixed.findIndex((slot) => slot.home === device.identity.id);
      if (at < 0 && device.algorithms.length === 0) continue;
      const label = this.#fixed[at]?.label ?? device.identity.id;
      const id = at < 0 ? this.#fixed.length : at;
      this.#fixed[id] = { id, kind: "device", home: device.identity.id, device, label };
    }
    const there = new Set(devices.map(({ identity }) => identity.id));
    const removed = this.#fixed.filter((slot) => slot.kind === "device" && !there.has(slot.home) && tokenPresent(slot));
    for (const slot of removed) this.#fixed[slot.id] = { ...slot, device: withoutToken(slot.device) };
    return removed.map(({ id }) => id);
  }

  /** Puts a token that was made into the free slot, or into one of its own; a free slot follows. */
  make(home: string, label: string): Slot {
    if (this.#made.at(-1)?.kind === "free") this.#made.pop();
    const slot: Slot = { id: FIRST_MADE + this.#made.length, kind: "made", home, device: undefined, label };
    this.#made.push(slot);
    this.offerFree();
    return slot;
  }

  /** Sees to it that there is a free slot, as long as there may be more tokens. */
  offerFree(): void {
    if (this.#made.at(-1)?.kind === "free" || this.#made.length >= MAX_MADE) return;
    const id = FIRST_MADE + this.#made.length;
    this.#made.push({ id, kind: "free", home: WHOLE_KEYRING, device: undefined, label: "" });
  }

  /** @throws CKR_SLOT_ID_INVALID. */
  get(id: number): Slot {
    const slot = id < FIRST_MADE ? this.#fixed[id] : this.#made[id - FIRST_MADE];
    if (slot === undefined) throw failure("SLOT_ID_INVALID");
    return slot;
  }

  all(): readonly Slot[] {
    return [...this.#fixed, ...this.#made];
  }
}

export interface TokenState {
  readonly triesFlags: number;
  readonly sessions: number;
  readonly writableSessions: number;
  readonly now: number;
}

/** Whether there is a token: a device that is absent or broken leaves its slot empty. */
export function tokenPresent(slot: Slot): boolean {
  const state = slot.device?.status.state;
  return state !== "absent" && state !== "error";
}

function utcTime(now: number): string {
  return `${new Date(now).toISOString().replaceAll(/\D/g, "").slice(0, 14)}00`;
}

type TokenInfo = [
  string,
  string,
  string,
  string,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  Version,
  Version,
  string,
];

/** The values of C_GetTokenInfo's answer. */
export function tokenInfo(slot: Slot, state: TokenState): TokenInfo {
  const identity = slot.device?.identity;
  const flags =
    CKF.RNG |
    CKF.LOGIN_REQUIRED |
    CKF.CLOCK_ON_TOKEN |
    CKF.DUAL_CRYPTO_OPERATIONS |
    // An API token always works as a PIN, so there is always one.
    (slot.kind === "free" ? 0 : CKF.TOKEN_INITIALIZED | CKF.USER_PIN_INITIALIZED) |
    state.triesFlags;
  return [
    padded(slot.label, 32),
    padded(identity?.maker ?? "Casemate", 32),
    padded(identity?.model ?? "keyring", 16),
    padded(identity?.serial ?? (slot.kind === "made" ? slot.home.slice("token-".length) : "0"), 16),
    flags >>> 0,
    0,
    state.sessions,
    0,
    state.writableSessions,
    PIN_BYTES.max,
    PIN_BYTES.min,
    CK_UNAVAILABLE,
    CK_UNAVAILABLE,
    CK_UNAVAILABLE,
    CK_UNAVAILABLE,
    { major: 0, minor: 0 },
    version(identity?.firmware ?? "0.1"),
    utcTime(state.now),
  ];
}

/** A PIN is at least this long; an API token fits, too. */
export const PIN_BYTES = { min: 4, max: 255 } as const;

const DESCRIPTIONS: Readonly<Record<Slot["kind"], string>> = {
  keyring: "All keys of Casemate",
  device: "A device of Casemate",
  made: "A token that an application made",
  free: "Free for a token that C_InitToken makes",
};

export function slotInfo(slot: Slot): [string, string, number, Version, Version] {
  const identity = slot.device?.identity;
  const description = identity === undefined ? DESCRIPTIONS[slot.kind] : `${identity.maker} ${identity.model}`;
  let flags = 0;
  if (tokenPresent(slot)) flags |= CKF.TOKEN_PRESENT;
  // Without the flag a token is always present (CK_SLOT_INFO); cards, and devices reached by others' software, come and go.
  const stays = identity === undefined || (identity.virtual && identity.kind !== "card" && tokenPresent(slot));
  if (!stays) flags |= CKF.REMOVABLE_DEVICE;
  if (identity !== undefined && !identity.virtual) flags |= CKF.HW_SLOT;
  return [
    padded(description, 64),
    padded(identity?.maker ?? "Casemate", 32),
    flags,
    { major: 0, minor: 0 },
    version(identity?.firmware ?? "0.1"),
  ];
}

/** Who is logged in to a token. */
export interface Login {
  readonly role: "user" | "so";
  readonly caller: Caller;
}
