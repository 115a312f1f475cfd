export { openVirtualHsm, type VirtualHsmOptions } from "./open.ts";
export { isChallengeOf, sealPassphrase } from "./unlock-message.ts";
