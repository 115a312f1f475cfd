import type { Device, DeviceIdentity } from "@casemate/devices/contract";
import { CasemateError, withHint } from "@casemate/foundation/errors";

/**
 * Stands in for a device that could not be opened, so that everything else goes on and `device list` says why.
 * Its kind is unknown until it answers; `hsm` is what nearly all configured devices are. What it can do is unknown too: it has
 * every facet but `watch`, and each says that the device is not there, which `NOT_SUPPORTED` would not.
 */
export function absentDevice(id: string, driver: string, why: CasemateError, known?: DeviceIdentity): Device {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new CasemateError("DEVICE_ABSENT", `device ${id} is not there: ${why.message}`, {
        hint: `${why.hint ?? "Bring it back."} The server tries again by itself.`,
        cause: why,
      }),
    );
  return {
    identity: known ?? {
      id,
      kind: "hsm",
      maker: "unknown",
      model: driver,
      serial: "",
      firmware: "",
      virtual: driver.startsWith("virtual-"),
      certifications: [],
    },
    algorithms: [],
    status: () => Promise.resolve({ state: "absent", detail: withHint(why), counters: {}, notes: [] }),
    random: refuse,
    keys: { generate: refuse, publicKey: refuse, destroy: refuse },
    sign: { sign: refuse, verify: refuse },
    cipher: { encrypt: refuse, decrypt: refuse },
    mac: { mac: refuse, check: refuse },
    agree: { agree: refuse },
    kem: { encapsulate: refuse, decapsulate: refuse },
    wrap: { export: refuse, import: refuse },
    dataKeys: { generate: refuse },
    unlock: { challenge: refuse, unlock: refuse, lock: refuse },
    zeroize: { zeroize: refuse },
    objects: { list: refuse },
    close: () => Promise.resolve(),
  };
}
