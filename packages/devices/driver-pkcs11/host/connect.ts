// Implements: OASIS PKCS #11 v3.0 §5.4–§5.6 from C_Initialize to C_Login, for one token of one module.
import { constants, accessSync } from "node:fs";
import { isAbsolute } from "node:path";
import { CasemateError } from "@casemate/foundation/errors";
import { CKF, CKR, CKU } from "@casemate/protocols/p11-rpc";
import { createPlan, type PlanFields } from "../plan.ts";
import { explained, hasRv, isVague, type ModuleError } from "../status.ts";
import type { ReplyOf, RequestOf } from "../wire.ts";
import { findModule } from "./find-module.ts";
import { loadAddon, type Cryptoki, type Handle, type TokenInfo } from "./addon.ts";
import type { Lane } from "./lane.ts";
import { bindOwnLibraries } from "./own-libraries.ts";
import { createSession } from "./session.ts";

/** CKF_OS_LOCKING_OK: the module may use this system's locks. */
const OS_LOCKING = 2;
/** Sessions that are left to other programs where the token counts them. */
const LEFT_TO_OTHERS = 1;
const MAX_U32 = 0xffffffff;

/** Text fields are padded by spaces, and by some modules with zeros. */
const trimmed = (text: string): string => text.replace(/[\0 ]+$/, "");

/** A name that was found nowhere is left to the system's own search. */
function checkFile(path: string): void {
  if (!isAbsolute(path)) return;
  try {
    accessSync(path, constants.R_OK);
  } catch (cause) {
    throw new CasemateError("CONFIG_INVALID", `the PKCS#11 module ${path} is not there or cannot be read`, {
      cause,
      hint: "Install the HSM maker's client package, or correct the path.",
    });
  }
}

/** True when several threads may call. */
function initialize(cryptoki: Cryptoki): boolean {
  try {
    cryptoki.C_Initialize({ flags: OS_LOCKING });
    return true;
  } catch (error) {
    if (hasRv(error, CKR.CRYPTOKI_ALREADY_INITIALIZED)) return true;
    if (isVague(error)) {
      const { cause, details } = explained(error) as CasemateError;
      throw new CasemateError("DEVICE_ABSENT", `the module does not start: ${(error as ModuleError).message}`, {
        cause,
        details,
        hint: "Check its configuration file, the variables that the server passes on to it, and that its HSM is connected.",
      });
    }
    if (!hasRv(error, CKR.CANT_LOCK, CKR.ARGUMENTS_BAD, CKR.NEED_TO_CREATE_THREADS)) throw error;
    cryptoki.C_Initialize();
    return false;
  }
}

function findToken(cryptoki: Cryptoki, label: string): { readonly slot: Handle; readonly info: TokenInfo } {
  const tokens = cryptoki.C_GetSlotList(true).flatMap((slot) => {
    try {
      const info = cryptoki.C_GetTokenInfo(slot);
      return (info.flags & CKF.TOKEN_INITIALIZED) === 0 ? [] : [{ slot, info }];
    } catch (error) {
      if (hasRv(error, CKR.TOKEN_NOT_PRESENT, CKR.TOKEN_NOT_RECOGNIZED, CKR.DEVICE_REMOVED)) return [];
      throw error;
    }
  });
  const [found, twin] = tokens.filter(({ info }) => trimmed(info.label) === label);
  if (twin !== undefined)
    throw new CasemateError("CONFIG_INVALID", `the module has several tokens labelled ${label}`, {
      hint: "Give each token a label of its own.",
    });
  if (found !== undefined) return found;
  const there = tokens.map(({ info }) => trimmed(info.label)).join(", ");
  throw new CasemateError("DEVICE_ABSENT", `the module has no token labelled ${label}`, {
    hint: there === "" ? "It has none at all: is the HSM connected and initialised?" : `There are: ${there}.`,
  });
}

function mechanismsOf(cryptoki: Cryptoki, slot: Handle): PlanFields["mechanisms"] {
  return cryptoki.C_GetMechanismList(slot).flatMap((type) => {
    try {
      const { flags, minKeySize, maxKeySize } = cryptoki.C_GetMechanismInfo(slot, type);
      return [{ type, flags: flags >>> 0, min: Math.min(minKeySize, MAX_U32), max: Math.min(maxKeySize, MAX_U32) }];
    } catch (error) {
      if (hasRv(error, CKR.MECHANISM_INVALID, CKR.FUNCTION_NOT_SUPPORTED)) return [];
      throw error;
    }
  });
}

export function pinState({ flags }: Pick<TokenInfo, "flags">): ReplyOf<"connect">["pin"] {
  if ((flags & CKF.USER_PIN_INITIALIZED) === 0) return "unset";
  if ((flags & CKF.USER_PIN_LOCKED) !== 0) return "locked";
  if ((flags & CKF.USER_PIN_FINAL_TRY) !== 0) return "final";
  return (flags & CKF.USER_PIN_COUNT_LOW) === 0 ? "fine" : "low";
}

const needsLogin = ({ flags }: TokenInfo): boolean => (flags & CKF.LOGIN_REQUIRED) !== 0;

function sessionsFor(info: TokenInfo, wanted: number): number {
  const limits = [info.maxSessionCount, info.maxRwSessionCount].filter((most) => most > 0 && most < MAX_U32);
  return Math.max(1, Math.min(wanted, ...limits.map((most) => most - LEFT_TO_OTHERS)));
}

export function slotNumber(slot: Handle): bigint {
  return slot.length === 8 ? slot.readBigUInt64LE() : BigInt(slot.readUInt32LE());
}

function slotHandle(slot: bigint): Handle {
  const handle = Buffer.alloc(8);
  handle.writeBigUInt64LE(slot);
  return handle;
}

export interface Connected {
  readonly lane: Lane;
  readonly reply: ReplyOf<"connect">;
}

/** @throws CONFIG_INVALID for a module that is none; DEVICE_ABSENT when the token is not there. */
export function connect({ addon, module, token, threads }: RequestOf<"connect">): Connected {
  const loaded = loadAddon(addon);
  const file = findModule(module);
  checkFile(file);
  bindOwnLibraries(file); // for the threads to come, too
  const cryptoki = loaded.load(file);
  const manyThreads = initialize(cryptoki);
  const library = cryptoki.C_GetInfo();
  const { slot, info } = findToken(cryptoki, token);
  const loginRequired = needsLogin(info);
  const plan = createPlan({
    library: `${trimmed(library.libraryDescription)} ${library.libraryVersion.major}.${library.libraryVersion.minor}`,
    manufacturer: trimmed(info.manufacturerID),
    model: trimmed(info.model),
    mechanisms: mechanismsOf(cryptoki, slot),
    refused: [],
    withoutLabel: [],
    printableCurves: false,
  });
  const lane: Lane = {
    cryptoki,
    params: loaded.params,
    session: createSession(cryptoki, slot, () => loginRequired),
    token,
    plan,
  };
  lane.session.run(() => undefined);
  const { major, minor } = info.firmwareVersion;
  return {
    lane,
    reply: {
      maker: trimmed(info.manufacturerID),
      model: trimmed(info.model),
      serial: trimmed(info.serialNumber),
      firmware: `${major}.${minor}`,
      library: plan.fields.library,
      slot: slotNumber(slot),
      threads: manyThreads && plan.quirks.oneThread !== true ? sessionsFor(info, threads) : 1,
      loginRequired,
      pin: pinState(info),
      plan: plan.fields,
    },
  };
}

/** A further thread: the module is initialised and the user logged in already, for the whole process. */
export function attach({ addon, module, token, slot, plan }: RequestOf<"attach">): Lane {
  const loaded = loadAddon(addon);
  const cryptoki = loaded.load(findModule(module));
  const handle = slotHandle(slot);
  const loginRequired = needsLogin(cryptoki.C_GetTokenInfo(handle));
  const session = createSession(cryptoki, handle, () => loginRequired);
  session.run(() => undefined);
  return { cryptoki, params: loaded.params, session, token, plan: createPlan(plan) };
}

const WARNINGS: Readonly<Record<ReplyOf<"connect">["pin"], string>> = {
  fine: "Check it; it is not tried again by itself.",
  low: "Check it; few tries are left before the token locks, and it is not tried again by itself.",
  final: "Check it; one try is left before the token locks, and it is not tried again by itself.",
  locked: "The token is locked now; unlock it with its own tools.",
  unset: "The token has no user PIN yet; initialise it with its own tools.",
};

/**
 * @param proof whether the PIN must have been right, and not only somebody logged in.
 * @param pin becomes a string, which pkcs11js wants and which cannot be wiped: the garbage collector takes it.
 * @throws PIN_WRONG, and ModuleError for all else.
 */
export function login({ cryptoki, session }: Lane, slot: bigint, pin: Uint8Array, proof = false): void {
  // A session that ended meanwhile is replaced now, before the PIN is used.
  session.run((open) => cryptoki.C_GetSessionInfo(open));
  // Once, whatever comes out, and not asked why: the session would repeat it, and whoever was refused is not logged in.
  const failure = session.run((open): unknown => {
    try {
      cryptoki.C_Login(open, CKU.USER, Buffer.from(pin.buffer, pin.byteOffset, pin.length).toString("utf8"));
      return undefined;
    } catch (error) {
      return error;
    }
  });
  if (failure === undefined) return;
  if (!proof && hasRv(failure, CKR.USER_ALREADY_LOGGED_IN) && isLoggedIn(session)) return;
  if (!hasRv(failure, CKR.PIN_INCORRECT, CKR.PIN_INVALID, CKR.PIN_LEN_RANGE)) throw failure;
  const { message, details, cause } = explained(failure) as CasemateError;
  const left = triesLeft(cryptoki, slot);
  throw new CasemateError("PIN_WRONG", message, {
    hint: WARNINGS[left ?? "fine"],
    details: { ...details, ...(left === undefined ? {} : { left }) },
    cause,
  });
}

function isLoggedIn(session: Lane["session"]): boolean {
  try {
    session.check();
    return true;
  } catch {
    return false;
  }
}

/** Undefined of a token that does not say: the PIN was refused all the same. */
function triesLeft(cryptoki: Cryptoki, slot: bigint): ReplyOf<"connect">["pin"] | undefined {
  try {
    return pinState(cryptoki.C_GetTokenInfo(slotHandle(slot)));
  } catch {
    return undefined;
  }
}
