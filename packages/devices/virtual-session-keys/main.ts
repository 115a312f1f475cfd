/** The process of the session keys: bind what is needed, give up the rest, serve. */
import { garbageCollector, guestBoot, hardenGuest, serveGuest } from "@casemate/devices/boundary/guest";
import { nativeCalls } from "@casemate/foundation/ffi";
import { createEngine } from "./engine.ts";

/** Private keys that were dropped are freed together, this long after the last one. */
const COLLECT_AFTER_MS = 500;

if (guestBoot().testSeed !== undefined) throw new TypeError("this program takes no test seed");
const { ecDigest } = nativeCalls();
const collect = garbageCollector();
let timer: NodeJS.Timeout | undefined;
// Everything is bound and loaded: from here on this process can only compute.
const steps = hardenGuest();
const engine = createEngine({
  ...(ecDigest.available ? { ecDigest } : {}),
  dropped() {
    clearTimeout(timer);
    timer = setTimeout(() => collect?.(), COLLECT_AFTER_MS);
  },
});
serveGuest({ steps, handle: (op, body) => engine.handle(op, body) });
