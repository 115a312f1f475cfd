// Implements: PKCS #11 v3.0 §5.5, C_GetSlotList, C_GetSlotInfo, C_GetTokenInfo, C_GetMechanismList, C_GetMechanismInfo.
import { SIZE_QUERY, type UlongReply } from "@casemate/protocols/p11-rpc";
import { isCasemateError } from "@casemate/foundation/errors";
import type { Application } from "../application.ts";
import { CLIENT_VERSIONS } from "../client-versions.ts";
import { MECHANISMS } from "../mechanisms.ts";
import { slotInfo, tokenInfo, tokenPresent, type Slot } from "../slots.ts";
import { failure } from "../status.ts";
import type { Calls } from "./types.ts";

const OLDEST = CLIENT_VERSIONS.find(({ rpc }) => rpc === 0);

function list(numbers: readonly number[], capacity: number): [UlongReply] {
  return [capacity === SIZE_QUERY || numbers.length > capacity ? numbers.length : numbers];
}

/** Asks the keyring which devices there are now. */
export async function refreshSlots(application: Application): Promise<void> {
  const caller = await application.shared.service();
  if (caller === undefined) return;
  const { lists } = application.shared;
  const own = ++lists.asked;
  try {
    const devices = await application.ports.keyring.listDevices(caller);
    // An answer that was overtaken says what was: a device that was added since is not removed.
    if (own < lists.heard) return;
    lists.heard = own;
    for (const slot of application.shared.slots.update(devices)) application.shared.removed(slot);
  } catch (error) {
    if (!isCasemateError(error)) throw error;
    application.ports.log.warn({ code: error.code }, "pkcs11: list of devices");
  }
}

async function known(application: Application, id: number): Promise<Slot> {
  try {
    return application.shared.slots.get(id);
  } catch {
    await refreshSlots(application);
    return application.shared.slots.get(id);
  }
}

export const slotCalls: Calls<
  "C_GetSlotList" | "C_GetSlotInfo" | "C_GetTokenInfo" | "C_GetMechanismList" | "C_GetMechanismInfo"
> = {
  async C_GetSlotList(application, withToken, capacity) {
    if (capacity === SIZE_QUERY) await refreshSlots(application);
    application.sawSlots();
    const slots = application.shared.slots.all().filter((slot) => withToken === 0 || tokenPresent(slot));
    return list(
      slots.map((slot) => slot.id),
      capacity,
    );
  },
  C_GetSlotInfo: async (application, id) => slotInfo(await known(application, id)),
  async C_GetTokenInfo(application, id) {
    const slot = await known(application, id);
    if (!tokenPresent(slot)) throw failure("TOKEN_NOT_PRESENT");
    const counts = application.countSessions(id);
    return tokenInfo(slot, {
      triesFlags: application.shared.pins.flags(slot.home),
      sessions: counts.all,
      writableSessions: counts.writable,
      now: application.ports.clock.now(),
    });
  },
  async C_GetMechanismList(application, id, capacity) {
    const slot = await known(application, id);
    if (!tokenPresent(slot)) throw failure("TOKEN_NOT_PRESENT");
    // The old client drops what it does not know from the list but not from the count: say only what it will keep.
    const carried = application.version === 0 ? OLDEST : undefined;
    return list(
      [...MECHANISMS.keys()].filter((type) => carried?.carries(type) ?? true),
      capacity,
    );
  },
  async C_GetMechanismInfo(application, id, type) {
    if (!tokenPresent(await known(application, id))) throw failure("TOKEN_NOT_PRESENT");
    const row = MECHANISMS.get(type);
    if (row === undefined) throw failure("MECHANISM_INVALID");
    return [row.sizes[0], row.sizes[1], row.flags];
  },
};
