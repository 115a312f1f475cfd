/** The virtual HSM's process: bind what is needed, give up the rest, prove the algorithms, serve. */
import { guestBoot } from "@casemate/devices/boundary/guest";
import { serve } from "./serve.ts";

if (guestBoot().testSeed !== undefined) throw new TypeError("this program takes no test seed");
serve({});
