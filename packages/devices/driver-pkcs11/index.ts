export { findModule } from "./host/find-module.ts";
export type { PinKeeper, PinSource } from "./connection-options.ts";
export { openPkcs11Device, type Pkcs11Options } from "./open.ts";
export { parsePkcs11Settings, pkcs11Options, type Pkcs11Settings } from "./settings.ts";
