// Implements: PKCS #11 v3.0 §5.5 and §5.6 on PINs. A PIN is an API token, or opens one that is kept sealed under it.
import { createCipheriv, createDecipheriv, scrypt, type ScryptOptions } from "node:crypto";
import { concat, fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError, isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import type { Caller, ObjectRecord } from "@casemate/keyring/core";
import { CKF, CKR } from "@casemate/protocols/p11-rpc";
import { PIN_RECORD_CLASS } from "./catalogue.ts";
import type { Ports } from "./context.ts";
import { PIN_BYTES, type Login } from "./slots.ts";
import { failure, Pkcs11Failure } from "./status.ts";

export type Role = Login["role"];

const COST: ScryptOptions = { N: 32_768, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
/** How API tokens begin. */
const TOKEN_PREFIX = "cmt_";
const SALT = 16;
const NONCE = 12;
const TAG = 16;
/** Wrong tries in a row before the PIN is locked, and for how long. */
export const MAX_TRIES = 10;
const LOCKED_MS = 10 * 60 * 1000;

function stretch(pin: Uint8Array, salt: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(pin, salt, 32, COST, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}

/** salt ‖ nonce ‖ ciphertext ‖ tag of the API token. */
async function seal(ports: Ports, pin: Uint8Array, token: string, context: string): Promise<Uint8Array> {
  const salt = ports.random.bytes(SALT);
  const nonce = ports.random.bytes(NONCE);
  const key = await stretch(pin, salt);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(toUtf8(context));
  const sealed = concat(salt, nonce, cipher.update(toUtf8(token)), cipher.final(), cipher.getAuthTag());
  key.fill(0);
  return sealed;
}

/** The API token, or undefined when the PIN is wrong. */
async function open(pin: Uint8Array, sealed: Uint8Array, context: string): Promise<string | undefined> {
  if (sealed.length < SALT + NONCE + TAG) return undefined;
  const key = await stretch(pin, sealed.subarray(0, SALT));
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(SALT, SALT + NONCE));
    decipher.setAAD(toUtf8(context));
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
    const text = decipher.update(sealed.subarray(SALT + NONCE, sealed.length - TAG));
    return fromUtf8(concat(text, decipher.final()));
  } catch {
    return undefined;
  } finally {
    key.fill(0);
  }
}

interface Tries {
  wrong: number;
  lockedUntil: number;
  /** Under way; each may turn out wrong. */
  running: number;
  readonly waiting: (() => void)[];
  /** Where the count is kept. */
  record?: string | undefined;
  keeping?: Promise<void>;
}

export interface Checked {
  readonly caller: Caller;
  readonly token: string;
  /** Whether the API token itself was given, no PIN that opens one. */
  readonly own: boolean;
}

const triesLabel = (role: Role): string => `tries:${role}`;

/** How a refused login is called on record. */
const REFUSALS: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [CKR.PIN_INCORRECT, "PIN_WRONG"],
  [CKR.USER_PIN_NOT_INITIALIZED, "PIN_WRONG"],
  [CKR.PIN_LOCKED, "PIN_LOCKED"],
  [CKR.PIN_EXPIRED, "TOKEN_EXPIRED"],
]);

export class Pins {
  readonly #ports: Ports;
  readonly #service: () => Promise<Caller | undefined>;
  readonly #tries = new Map<string, Tries>();
  /** Roles of tokens that were given something wrong since they were last opened, counted or not. */
  readonly #mistaken = new Set<string>();

  constructor(ports: Ports, service: () => Promise<Caller | undefined>) {
    this.#ports = ports;
    this.#service = service;
  }

  /** Flags of CK_TOKEN_INFO that tell how many tries are left. */
  flags(home: string): number {
    const user = this.#left(home, "user");
    const so = this.#left(home, "so");
    let flags = 0;
    if (user < MAX_TRIES || this.#mistaken.has(`${home}/user`)) flags |= CKF.USER_PIN_COUNT_LOW;
    if (user === 1) flags |= CKF.USER_PIN_FINAL_TRY;
    if (user === 0) flags |= CKF.USER_PIN_LOCKED;
    if (so < MAX_TRIES || this.#mistaken.has(`${home}/so`)) flags |= CKF.SO_PIN_COUNT_LOW;
    if (so === 1) flags |= CKF.SO_PIN_FINAL_TRY;
    if (so === 0) flags |= CKF.SO_PIN_LOCKED;
    return flags;
  }

  /** Who this PIN is; a refusal is on record. @throws CKR_PIN_INCORRECT, CKR_USER_PIN_NOT_INITIALIZED, CKR_PIN_LOCKED, CKR_PIN_EXPIRED. */
  async check(home: string, role: Role, pin: Uint8Array): Promise<Checked> {
    try {
      const checked = await this.#check(home, role, pin);
      this.#mistaken.delete(`${home}/${role}`);
      return checked;
    } catch (error) {
      if (error instanceof Pkcs11Failure && error.rv === CKR.PIN_INCORRECT) this.#mistaken.add(`${home}/${role}`);
      const code = error instanceof Pkcs11Failure ? REFUSALS.get(error.rv) : undefined;
      if (code !== undefined) {
        const request = `login to ${home} as ${role}`;
        await this.#ports.keyring.refused(undefined, "pkcs11", request, new CasemateError(code, request));
      }
      throw error;
    }
  }

  async #check(home: string, role: Role, pin: Uint8Array): Promise<Checked> {
    if (pin.length === 0 || pin.length > PIN_BYTES.max) throw failure("PIN_INCORRECT");
    const text = asText(pin);
    // An API token says what it is; anything else can only be a PIN that opens one.
    if (text?.startsWith(TOKEN_PREFIX) === true) return this.#token(role, text);
    const tries = await this.#begin(home, role);
    let unset = false;
    try {
      const sealed = await this.#sealed(home, role);
      unset = sealed === undefined && role === "user";
      // There is nothing to guess, so nothing is counted. API tokens open the token; where its security officer has a PIN, the user is to get one.
      if (unset) {
        const awaited = (await this.#sealed(home, "so")) !== undefined;
        throw failure(awaited ? "USER_PIN_NOT_INITIALIZED" : "PIN_INCORRECT", "no PIN is set");
      }
      const token = sealed === undefined ? undefined : await open(pin, sealed, `${home}/${role}`);
      if (token === undefined) throw new CasemateError("UNAUTHENTICATED", "the PIN is wrong");
      const caller = await this.#admit(role, token);
      if (tries.wrong > 0) await this.#count(tries, home, role, 0);
      return { caller, token, own: false };
    } catch (error) {
      if (unset) throw error;
      if (isCasemateError(error) && error.code === "TOKEN_EXPIRED") throw failure("PIN_EXPIRED");
      if (!isCasemateError(error) || error.code === "UNAUTHENTICATED" || error.code === "BAD_REQUEST") {
        await this.#count(tries, home, role, tries.wrong + 1);
        this.#ports.log.warn({ home, role, tries: tries.wrong }, "pkcs11: wrong PIN");
        throw failure(tries.wrong >= MAX_TRIES ? "PIN_LOCKED" : "PIN_INCORRECT");
      }
      throw error;
    } finally {
      tries.running--;
      tries.waiting.shift()?.();
    }
  }

  /** An API token cannot be guessed: it is not counted, and wrong PINs of others do not lock it out. */
  async #token(role: Role, token: string): Promise<Checked> {
    try {
      return { caller: await this.#admit(role, token), token, own: true };
    } catch (error) {
      if (isCasemateError(error) && error.code === "TOKEN_EXPIRED") throw failure("PIN_EXPIRED");
      if (isCasemateError(error) && (error.code === "UNAUTHENTICATED" || error.code === "BAD_REQUEST"))
        throw failure("PIN_INCORRECT");
      throw error;
    }
  }

  async #admit(role: Role, token: string): Promise<Caller> {
    const caller = await this.#ports.keyring.authenticate(token, "pkcs11");
    if (role === "so" && !caller.roles.includes("admin")) throw failure("PIN_INCORRECT");
    return caller;
  }

  /**
   * No more tries side by side than are left, so that they cannot outrun the counter; more wait for their turn, as when
   * many processes of one application log in at once. @throws CKR_PIN_LOCKED.
   */
  async #begin(home: string, role: Role): Promise<Tries> {
    const key = `${home}/${role}`;
    const tries = this.#tries.get(key) ?? { wrong: 0, lockedUntil: 0, running: 0, waiting: [] };
    this.#tries.set(key, tries);
    for (let left = this.#left(home, role); tries.running >= left; left = this.#left(home, role)) {
      if (left === 0) {
        // Whoever waits is told, too.
        tries.waiting.shift()?.();
        throw failure("PIN_LOCKED");
      }
      await new Promise<void>((resolve) => tries.waiting.push(resolve));
    }
    tries.running++;
    return tries;
  }

  /**
   * From now on `pin` opens `token`. `tokenId` names a token that was made for this PIN alone, and goes with it; absent
   * keeps what the record says. @throws CKR_PIN_LEN_RANGE.
   */
  async set(caller: Caller, home: string, role: Role, pin: Uint8Array, token: string, tokenId?: string): Promise<void> {
    if (pin.length < PIN_BYTES.min || pin.length > PIN_BYTES.max) throw failure("PIN_LEN_RANGE");
    const attributes = await seal(this.#ports, pin, token, `${home}/${role}`);
    const { objects } = this.#ports;
    const present = await this.#record(caller, home, role);
    if (present === undefined) {
      await objects.create(caller, {
        tokenLabel: home,
        class: PIN_RECORD_CLASS,
        label: `pin:${role}`,
        ckaId: tokenId ?? "",
        attributes,
      });
    } else
      await objects.update(caller, present.id, { attributes, ...(tokenId === undefined ? {} : { ckaId: tokenId }) });
    const tries = this.#tries.get(`${home}/${role}`);
    if (tries !== undefined && tries.wrong > 0) await this.#count(tries, home, role, 0);
  }

  /** Revokes the API token that was made for the user's PIN, if there is one. `so` must be allowed to. */
  async revoke(so: Caller, home: string): Promise<void> {
    const id = (await this.#record(so, home, "user"))?.ckaId ?? "";
    if (id !== "") await this.#ports.keyring.revokeToken(so, id);
  }

  /** Takes up the wrong tries of earlier runs, so that a restart gives nobody new ones. */
  async restore(): Promise<void> {
    const service = await this.#service();
    if (service === undefined) return;
    for (const role of ["user", "so"] as const) {
      const query = { class: PIN_RECORD_CLASS, label: triesLabel(role), limit: 1000 };
      for (const record of (await this.#ports.objects.find(service, query)).items) {
        const wrong = Math.min(record.attributes[0] ?? 0, MAX_TRIES);
        const lockedUntil = wrong < MAX_TRIES ? 0 : this.#ports.clock.monotonic() + LOCKED_MS;
        const tries = { wrong, lockedUntil, running: 0, waiting: [], record: record.id };
        this.#tries.set(`${record.tokenLabel}/${role}`, tries);
      }
    }
  }

  /** Counts in memory at once, and on the disk before the caller is answered. */
  async #count(tries: Tries, home: string, role: Role, wrong: number): Promise<void> {
    tries.wrong = wrong;
    if (wrong >= MAX_TRIES) tries.lockedUntil = this.#ports.clock.monotonic() + LOCKED_MS;
    const service = await this.#service();
    if (service === undefined) return;
    const attributes = Uint8Array.of(Math.min(wrong, MAX_TRIES));
    const { objects } = this.#ports;
    const keep = async (): Promise<void> => {
      if (tries.record !== undefined) {
        await objects.update(service, tries.record, { attributes });
        return;
      }
      const fields = { class: PIN_RECORD_CLASS, label: triesLabel(role), ckaId: "", attributes };
      tries.record = (await objects.create(service, { tokenLabel: home, ...fields })).id;
    };
    // One after the other: two first tries side by side make one record.
    tries.keeping = (tries.keeping ?? Promise.resolve()).then(keep).catch((error: unknown) => {
      this.#ports.log.warn({ home, role, error: String(error) }, "pkcs11: wrong tries could not be kept");
    });
    await tries.keeping;
  }

  async #sealed(home: string, role: Role): Promise<Uint8Array | undefined> {
    const service = await this.#service();
    if (service === undefined) return undefined;
    const record = await this.#record(service, home, role).catch((error: unknown) => {
      if (!isCasemateError(error)) throw error;
      this.#ports.log.warn({ code: error.code }, "pkcs11: sealed PINs cannot be read");
      return undefined;
    });
    return record?.attributes;
  }

  async #record(caller: Caller, home: string, role: Role): Promise<ObjectRecord | undefined> {
    const query = { tokenLabel: home, class: PIN_RECORD_CLASS, label: `pin:${role}`, limit: 1 };
    return (await this.#ports.objects.find(caller, query)).items[0];
  }

  #left(home: string, role: Role): number {
    const tries = this.#tries.get(`${home}/${role}`);
    if (tries === undefined) return MAX_TRIES;
    if (tries.wrong >= MAX_TRIES && this.#ports.clock.monotonic() >= tries.lockedUntil) {
      // One try after the waiting time; a wrong one locks again.
      tries.wrong = MAX_TRIES - 1;
    }
    return MAX_TRIES - tries.wrong;
  }
}

/** Undefined for a PIN that is no text. */
function asText(pin: Uint8Array): string | undefined {
  try {
    return fromUtf8(pin);
  } catch {
    return undefined;
  }
}
