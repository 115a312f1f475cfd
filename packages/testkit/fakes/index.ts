export { softwareDevice, type SoftwareDevice } from "./software-device.ts";
export { memoryAudit, type MemoryAudit } from "./memory-audit.ts";
export { rolePolicy } from "./role-policy.ts";
export { fragileStore, type FragileStore } from "./fragile-store.ts";
export { temporaryKeyring, type TemporaryKeyring, type TemporaryOptions } from "./temporary-keyring.ts";
export { lived, Place } from "./place.ts";
export { audit, inUse, life, putBackBoth, sizes, tampered, twoDevices, until, witnessed } from "./witnessed-place.ts";
