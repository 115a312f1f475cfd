// Implements: PKCS #11 v3.0 §5.4 and §5.20, C_Initialize, C_Finalize, C_GetInfo, random numbers, slot events.
import { fromUtf8 } from "@casemate/foundation/bytes";
import { CKF, HANDSHAKE, SIZE_QUERY } from "@casemate/protocols/p11-rpc";
import { padded } from "../slots.ts";
import { failure } from "../status.ts";
import type { Calls } from "./types.ts";

const MAX_RANDOM = 65_536;

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
  C_SeedRandom(application, handle) {
    application.session(handle);
    throw failure("RANDOM_SEED_NOT_SUPPORTED");
  },
  async C_GenerateRandom(application, handle, capacity) {
    const session = application.session(handle);
    if (capacity === SIZE_QUERY || capacity === 0) return [new Uint8Array(0)];
    if (capacity > MAX_RANDOM) throw failure("ARGUMENTS_BAD", `at most ${MAX_RANDOM} bytes at once`);
    const user = application.user(session);
    const { keyring, random } = application.ports;
    // Without a login there is nobody to account the device's randomness to; the system's is as good.
    if (user === undefined) return [random.bytes(capacity)];
    return [await keyring.random(user, capacity, application.slotOf(session).device?.identity.id)];
  },
  C_WaitForSlotEvent(_application, flags) {
    if ((flags & CKF.DONT_BLOCK) !== 0) throw failure("NO_EVENT");
    throw failure("FUNCTION_NOT_SUPPORTED", "slots do not come and go while the server runs");
  },
};
