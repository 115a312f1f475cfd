// Implements: PKCS #11 v3.0 §5.4 and §5.20, C_Initialize, C_Finalize, C_GetInfo, random numbers, slot events.
import { fromUtf8 } from "@casemate/foundation/bytes";
import { CKF, HANDSHAKE, SIZE_QUERY } from "@casemate/protocols/p11-rpc";
import { padded } from "../slots.ts";
import { refreshSlots } from "./slots.ts";
import { failure } from "../status.ts";
import type { Calls } from "./types.ts";

/** Random bytes for one call, and for one question to the device. */
const MAX_RANDOM = 4 * 1024 * 1024;
const RANDOM_PIECE = 65_536;

function isHandshake(bytes: Uint8Array | undefined): boolean {
  try {
    return bytes !== undefined && fromUtf8(bytes) === HANDSHAKE;
  } catch {
    return false;
  }
}

export const generalCalls: Calls<
  "C_Initialize" | "C_Finalize" | "C_GetInfo" | "C_SeedRandom" | "C_GenerateRandom" | "C_WaitForSlotEvent"
> = {
  C_Initialize(application, handshake) {
    if (!isHandshake(handshake)) throw failure("GENERAL_ERROR", "not the handshake of this protocol");
    if (application.initialized) throw failure("CRYPTOKI_ALREADY_INITIALIZED");
    application.initialized = true;
    return [];
  },
  C_Finalize(application) {
    application.end();
    return [];
  },
  C_GetInfo: () => [
    { major: 2, minor: 40 },
    padded("Casemate", 32),
    0,
    padded("Casemate PKCS#11", 32),
    { major: 0, minor: 1 },
  ],
  C_SeedRandom(application, handle, seed) {
    application.session(handle);
    if (seed === undefined) throw failure("ARGUMENTS_BAD");
    application.seeding.add(seed);
    return [];
  },
  async C_GenerateRandom(application, handle, capacity) {
    const session = application.session(handle);
    if (capacity === SIZE_QUERY) {
      // Clients of version 0 write the same for a NULL pointer as for no room, which is no mistake: pkcs11-tool asks so.
      if (application.version === 0) return [new Uint8Array(0)];
      throw failure("ARGUMENTS_BAD");
    }
    if (capacity > MAX_RANDOM) throw failure("ARGUMENTS_BAD", `at most ${MAX_RANDOM} bytes at once`);
    const user = application.user(session);
    const { keyring, random } = application.ports;
    const device = application.slotOf(session).device?.identity.id;
    const bytes = new Uint8Array(capacity);
    for (let at = 0; at < capacity; at += RANDOM_PIECE) {
      const length = Math.min(RANDOM_PIECE, capacity - at);
      // Without a login there is nobody to account the device's randomness to; the system's is as good.
      bytes.set(user === undefined ? random.bytes(length) : await keyring.random(user, length, device), at);
    }
    application.seeding.stir(bytes);
    return [bytes];
  },
  async C_WaitForSlotEvent(application, flags) {
    if ((flags & CKF.DONT_BLOCK) === 0) throw failure("FUNCTION_NOT_SUPPORTED", "nobody waits for slots: ask");
    await refreshSlots(application);
    const slot = application.slotEvent();
    if (slot === undefined) throw failure("NO_EVENT");
    return [slot];
  },
};
