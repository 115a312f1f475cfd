export { guestBoot, type GuestBoot } from "./boot.ts";
export { garbageCollector } from "./collect.ts";
export { descriptorFile, type DescriptorFile } from "./descriptor-file.ts";
export { hardenGuest } from "./harden.ts";
export { serveGuest, notifyHost, type ServeOptions } from "./serve.ts";
export { serveBlocking, type ServeBlockingOptions } from "./serve-blocking.ts";
