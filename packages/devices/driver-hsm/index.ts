export { openVirtualHsm, type VirtualHsmOptions } from "./open.ts";
export { isChallengeOf, sealPassphrase, unlockKeyFingerprint } from "./unlock-message.ts";
