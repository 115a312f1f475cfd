import type { Device } from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";

/**
 * Stands in for a device that could not be opened, so that everything else goes on and `device list` says why.
 * Its kind is unknown until it answers; `hsm` is what nearly all configured devices are.
 */
export function absentDevice(id: string, driver: string, why: CasemateError): Device {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new CasemateError("DEVICE_ABSENT", `device ${id} is not there: ${why.message}`, {
        hint: why.hint ?? "Bring it back; the server tries again by itself.",
        cause: why,
      }),
    );
  return {
    identity: {
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
    status: () => Promise.resolve({ state: "absent", detail: why.message, counters: {}, notes: [] }),
    random: refuse,
    keys: { generate: refuse, publicKey: refuse, destroy: refuse },
    close: () => Promise.resolve(),
  };
}
