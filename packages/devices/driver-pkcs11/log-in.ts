/** The login that no person is at: what its failure means for the next one. */
import { CasemateError, isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import type { Lanes } from "./lanes.ts";
import { sealPin } from "./pin-message.ts";
import type { PinTries } from "./pin-tries.ts";
import type { ReplyOf } from "./wire.ts";

/** Errors of a login that trying again makes worse. */
export const PIN_ERRORS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["PIN_WRONG", "PIN_LOCKED"]);

/** Whatever else it is, it does not say whether the PIN was right: the token may have counted it as wrong. Unless the login never got there. */
function mayHaveTried({ code, details }: CasemateError): boolean {
  if (PIN_ERRORS.has(code)) return false;
  return details["call"] === undefined || details["call"] === "C_Login";
}

/** Why the token stays locked; undefined when it is open. @throws what trying again may mend. */
export async function logIn(
  lanes: Lanes,
  pins: PinTries,
  state: ReplyOf<"connect">["pin"],
  limitMs: number,
): Promise<CasemateError | undefined> {
  const pin = await pins.next(state);
  if (isCasemateError(pin)) return pin;
  try {
    const { publicKey } = await lanes.call("challenge", {}, limitMs, 0);
    const sealed = sealPin(publicKey, pin);
    try {
      await lanes.call("unlock", { sealed }, limitMs, 0);
    } catch (error) {
      if (isCasemateError(error) && mayHaveTried(error)) pins.unsaid(pin, error);
      throw error;
    }
    pins.taken(pin);
    pin.dispose();
    return undefined;
  } catch (error) {
    if (isCasemateError(error) && PIN_ERRORS.has(error.code)) {
      pins.refuse(pin);
      return error;
    }
    pin.dispose();
    throw error;
  }
}

/** For the calls beside the one that found it out: the next process logs in again, where it can. */
export const loginEnded = (cause: CasemateError): CasemateError =>
  new CasemateError("DEVICE_RESTARTED", "the token ended the login, and its process was replaced", {
    cause,
    hint: "Try again.",
  });
