export { openPkcs11Device, type Pkcs11Options } from "./open.ts";
