import type { DriverRow } from "./driver.ts";

/** Real HSMs and tokens, through their makers' PKCS#11 modules. */
export const pkcs11: DriverRow = {
  name: "pkcs11",
  async open(config, _paths, log) {
    const { openPkcs11Device, parsePkcs11Settings, pkcs11Options } = await import("@casemate/devices/driver-pkcs11");
    const { id } = config;
    const row = Object.fromEntries(Object.entries(config).filter(([name]) => name !== "id" && name !== "driver"));
    return openPkcs11Device({ ...pkcs11Options(id, parsePkcs11Settings(id, row), process.env), log });
  },
};
