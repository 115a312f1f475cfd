// Implements: PKCS #11 v3.0 §5.5.7 to §5.5.9, C_InitToken, C_InitPIN, C_SetPIN.
import { NULL_BYTES, type ByteArray } from "@casemate/protocols/p11-rpc";
import { toUtf8 } from "@casemate/foundation/bytes";
import type { Caller } from "@casemate/keyring/core";
import type { Application } from "../application.ts";
import { PIN_RECORD_CLASS } from "../catalogue.ts";
import { MADE_HERE } from "../key-object.ts";
import { madeName, PIN_BYTES, tokenPresent, WHOLE_KEYRING, type Slot } from "../slots.ts";
import { failure } from "../status.ts";
import type { Calls } from "./types.ts";

function given(pin: ByteArray): Uint8Array {
  if (pin === undefined) throw failure("ARGUMENTS_BAD");
  if (pin === NULL_BYTES) throw failure("PIN_INCORRECT", "no protected authentication path is configured");
  return pin;
}

/** A PIN to set. Nobody asks for one on a path of the token's own, so that NULL is no PIN. */
function chosenPin(pin: ByteArray): Uint8Array {
  if (pin === undefined || pin === NULL_BYTES) throw failure("ARGUMENTS_BAD", "no PIN is given");
  if (pin.length < PIN_BYTES.min || pin.length > PIN_BYTES.max) throw failure("PIN_LEN_RANGE");
  return pin;
}

const KEPT: ReadonlySet<string> = new Set(["pin:so", "tries:so", "tries:user"]);

/** Destroys what applications made on this token: kept objects at once, keys after the waiting period of the keyring. */
async function empty(application: Application, so: Caller, slot: Slot): Promise<void> {
  const { objects, keyring } = application.ports;
  for (;;) {
    const { items } = await objects.find(so, { tokenLabel: slot.home, limit: 1000 });
    // The security officer's own PIN stays (PKCS #11 v3.0 §5.5.7), and so do counts of wrong tries.
    const going = items.filter((record) => record.class !== PIN_RECORD_CLASS || !KEPT.has(record.label));
    for (const record of going) {
      await objects.remove(so, record.id);
    }
    if (items.length < 1000 || going.length === 0) break;
  }
  let cursor: string | undefined;
  do {
    const page = await keyring.listKeys(so, { limit: 1000, ...(cursor === undefined ? {} : { cursor }) });
    for (const key of page.items) {
      if (key.labels[MADE_HERE] !== slot.home || key.state === "destroyed") continue;
      if (key.versions.every((version) => version.destroyAt !== undefined || version.state === "destroyed")) continue;
      await keyring.destroyKey(so, key.name);
    }
    cursor = page.next;
  } while (cursor !== undefined);
}

function keepLabel(application: Application, caller: Caller, home: string, label: string): Promise<unknown> {
  return application.ports.objects.create(caller, {
    tokenLabel: home,
    class: PIN_RECORD_CLASS,
    label: "token",
    ckaId: "",
    attributes: toUtf8(label),
  });
}

/** A token of its own in the free slot. Its security officer is who is security officer of the whole keyring, by the same PIN. */
async function makeToken(application: Application, pin: Uint8Array, label: string): Promise<void> {
  const { pins, slots } = application.shared;
  const { caller, token, own } = await pins.check(WHOLE_KEYRING, "so", pin);
  const { clock, random } = application.ports;
  const home = madeName(clock.now(), random.bytes(2));
  if (!own) await pins.set(caller, home, "so", pin, token, "");
  await keepLabel(application, caller, home, label);
  slots.make(home, label);
}

async function initToken(application: Application, id: number, pin: ByteArray, chosen: string): Promise<[]> {
  const slot = application.shared.slots.get(id);
  const label = chosen.trimEnd();
  if (slot.kind === "free") {
    await makeToken(application, given(pin), label);
    return [];
  }
  if (!tokenPresent(slot)) throw failure("TOKEN_NOT_PRESENT");
  if ((application.shared.sessionCounts.get(id) ?? 0) > 0) throw failure("SESSION_EXISTS");
  const { pins } = application.shared;
  const { caller } = await pins.check(slot.home, "so", given(pin));
  // The PIN took its time.
  if ((application.shared.sessionCounts.get(id) ?? 0) > 0) throw failure("SESSION_EXISTS");
  await pins.revoke(caller, slot.home);
  await empty(application, caller, slot);
  await keepLabel(application, caller, slot.home, label);
  slot.label = label;
  return [];
}

export const tokenCalls: Calls<"C_InitToken" | "C_InitToken2" | "C_InitPIN" | "C_SetPIN"> = {
  C_InitToken: (application, id, pin, label) => initToken(application, id, pin, (label ?? "").slice(0, 32)),
  C_InitToken2: (application, id, pin, label) => initToken(application, id, pin, label),
  async C_InitPIN(application, handle, pin) {
    const session = application.session(handle);
    const login = application.login(session.slot);
    if (login?.role !== "so") throw failure("USER_NOT_LOGGED_IN");
    if (!session.writable) throw failure("SESSION_READ_ONLY");
    // Before the token is made: a refused PIN must leave none behind.
    const chosen = chosenPin(pin);
    const { home } = application.slotOf(session);
    const { keyring } = application.ports;
    const { pins } = application.shared;
    await pins.revoke(login.caller, home);
    const { token, view } = await keyring.createToken(login.caller, {
      principal: `pkcs11-${home}`,
      roles: ["operator", "user"],
      note: `opened by the PIN of PKCS#11 token ${home}`,
    });
    await pins.set(login.caller, home, "user", chosen, token, view.id);
    return [];
  },
  async C_SetPIN(application, handle, before, after) {
    const session = application.session(handle);
    if (!session.writable) throw failure("SESSION_READ_ONLY");
    const role = application.login(session.slot)?.role ?? "user";
    const { home } = application.slotOf(session);
    const old = given(before);
    const pin = chosenPin(after);
    const { pins } = application.shared;
    const { caller, token, own } = await pins.check(home, role, old);
    await pins.set(caller, home, role, pin, token, own ? "" : undefined);
    return [];
  },
};
