export type { SessionKeyVault } from "./session-keyring.ts";
export { createPkcs11Server, type Pkcs11Server, type Pkcs11ServerOptions } from "./server.ts";
export type { Pkcs11Log } from "./context.ts";
export { MECHANISMS, type MechanismRow } from "./mechanisms.ts";
export { CLIENT_VERSIONS, type ClientVersion } from "./client-versions.ts";
export { deviceUse, type DeviceUse } from "./device-mechanisms.ts";
export type { RemoteOptions } from "./remote.ts";
