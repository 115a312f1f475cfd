export { guestBoot, type GuestBoot } from "./boot.ts";
export { hardenGuest } from "./harden.ts";
export { serveGuest, notifyHost, type ServeOptions } from "./serve.ts";
