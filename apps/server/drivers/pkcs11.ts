import type { DriverRow } from "./driver.ts";
import { keptPin } from "./kept-pin.ts";

/** Real HSMs and tokens, through their makers' PKCS#11 modules. */
export const pkcs11: DriverRow = {
  name: "pkcs11",
  async open(config, paths, log, find) {
    const { openPkcs11Device, parsePkcs11Settings, pkcs11Options } = await import("@casemate/devices/driver-pkcs11");
    const { id } = config;
    const row = Object.fromEntries(Object.entries(config).filter(([name]) => name !== "id" && name !== "driver"));
    const settings = parsePkcs11Settings(id, row);
    const { token, pinRoot: root } = settings;
    const kept = root === undefined ? {} : keptPin({ id, token, root, paths, find, log });
    return openPkcs11Device({ ...pkcs11Options(id, settings, process.env), ...kept, log });
  },
};
