/** Which PIN is tried without a person: never one that was refused, and never the last that the token bears. */
import { createHash, randomBytes } from "node:crypto";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import type { SecretBytes } from "@casemate/foundation/secrets";
import type { PinSource } from "./connection-options.ts";
import type { ReplyOf } from "./wire.ts";

type PinState = ReplyOf<"connect">["pin"];

const locked = (what: string, hint: string): CasemateError => new CasemateError("DEVICE_LOCKED", what, { hint });
const BY_HAND = "casemate device unlock asks for it.";

const notAgain = (): CasemateError =>
  locked("the token waits for another PIN: the one there is was refused, and is not tried again", BY_HAND);
const notThirdTime = (times: number, last: string): CasemateError =>
  locked(
    `the token waits for its PIN: the login was tried ${times} times, and is not tried again by itself, since the token does not say whether the PIN is right: ${last}`,
    `A token that counts such tries would lock. When it is in order again, ${BY_HAND}`,
  );

/** Tries of one PIN whose outcome the token does not say: most tokens bear at least three wrong ones. */
const MOST_UNSAID = 2;

const IN_DANGER: Readonly<Partial<Record<PinState, string>>> = {
  final: "one more wrong PIN locks the token, so it was not tried by itself",
  locked: "its PIN is locked",
  unset: "it has no user PIN yet",
};

export class PinTries {
  readonly #source: PinSource | undefined;
  readonly #rereads: boolean;
  #refused: SecretBytes | undefined;
  /** What would have to change before the source is asked again by itself; undefined: a person has to unlock the token. */
  #waitsFor: "readable" | "another" | undefined;
  #byPerson = false;
  /** Tells PINs apart without keeping them. */
  readonly #salt = randomBytes(32);
  /** The one that the token took: it is right, whatever comes later. */
  #taken: string | undefined;
  #unsaid = { print: "", times: 0, last: "" };
  /** Whether the source has what a person unlocked the token with. */
  #trusted = false;

  /** @param rereads whether the source may answer another PIN later, as a file that was corrected does. */
  constructor(source: PinSource | undefined, rereads: boolean) {
    this.#source = source;
    this.#rereads = rereads;
  }

  /**
   * The PIN to try now, or why there is none; the caller disposes of it.
   * @throws what the source throws and trying again may mend.
   */
  async next(token: PinState): Promise<SecretBytes | CasemateError> {
    this.#waitsFor = undefined;
    const danger = IN_DANGER[token];
    if (danger !== undefined)
      return locked(`the token waits for its PIN: ${danger}`, "Unlock it by hand, or use the token's own tools.");
    if (this.#source === undefined) return locked("the token waits for its PIN", BY_HAND);
    if (this.#byPerson) return locked("the token was locked, and waits for its PIN", BY_HAND);
    if (this.#refused !== undefined && !this.#rereads) return notAgain();
    let pin: SecretBytes | undefined;
    try {
      pin = await this.#source();
    } catch (error) {
      // The token is there: a person can still give the PIN.
      if (!isCasemateError(error) || error.code !== "CONFIG_INVALID") throw error;
      this.#waitsFor = "readable";
      return error;
    }
    if (pin === undefined) return locked("the token waits for its PIN", BY_HAND);
    if (this.#trusted) this.#taken = this.#print(pin);
    this.#trusted = false;
    const objection = this.#objection(pin);
    if (objection === undefined) return pin;
    pin.dispose();
    this.#waitsFor = "another";
    return objection;
  }

  /** Why this PIN is not tried without a person. */
  #objection(pin: SecretBytes): CasemateError | undefined {
    if (this.#refused?.equals(pin) === true) return notAgain();
    const { print, times, last } = this.#unsaid;
    return times >= MOST_UNSAID && this.#print(pin) === print ? notThirdTime(times, last) : undefined;
  }

  #print(pin: SecretBytes): string {
    return createHash("sha256").update(this.#salt).update(pin.reveal()).digest("base64");
  }

  /** The token took `pin`. */
  taken(pin: SecretBytes): void {
    this.#taken = this.#print(pin);
    this.#unsaid.times = 0;
  }

  /** A login with `pin` ended without a word on whether it is right. */
  unsaid(pin: SecretBytes, { message }: CasemateError): void {
    const print = this.#print(pin);
    if (print === this.#taken) return;
    this.#unsaid = { print, times: print === this.#unsaid.print ? this.#unsaid.times + 1 : 1, last: message };
  }

  /** The token did not take `pin`, which is remembered until another one is tried. */
  refuse(pin: SecretBytes): void {
    this.#refused?.dispose();
    this.#refused = pin;
    this.#waitsFor = "another";
  }

  /** A person locked the token: nothing is tried by itself until a person unlocks it. */
  lockedByPerson(): void {
    this.#byPerson = true;
  }

  unlockedByPerson(): void {
    this.#byPerson = false;
    this.#unsaid.times = 0;
  }

  /** Whether the source has now what was missing. Asks it only where that can be. */
  async changed(): Promise<boolean> {
    if (!this.#rereads || this.#source === undefined || this.#byPerson || this.#waitsFor === undefined) return false;
    try {
      using pin = await this.#source();
      return pin !== undefined && this.#objection(pin) === undefined;
    } catch {
      return false;
    }
  }

  /** The token took a person's PIN, and the source has it now. */
  kept(): void {
    this.forget();
    this.#trusted = true;
  }

  forget(): void {
    this.#refused?.dispose();
    this.#refused = undefined;
  }
}
