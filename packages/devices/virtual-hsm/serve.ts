/** Joins the engine to its process: channel, key file, native signer, garbage collector. */
import {
  descriptorFile,
  garbageCollector,
  guestBoot,
  hardenGuest,
  notifyHost,
  serveGuest,
} from "@casemate/devices/boundary/guest";
import { nativeCalls } from "@casemate/foundation/ffi";
import { createEngine, type EngineOptions } from "./engine.ts";
import { arithmeticEcSigner } from "./ec-arithmetic.ts";
import { nativeEcSigner, nativePreparedSigner } from "./native-signers.ts";
import { runSelfTests } from "./self-test.ts";

export function serve(overrides: Pick<EngineOptions, "random" | "passphraseCost">): void {
  const { ecDigest, prepared } = nativeCalls();
  const collect = garbageCollector();
  const [keyFile] = guestBoot().descriptors;
  // Everything is bound and loaded: from here on this process can only compute and use the descriptors it has.
  const steps = hardenGuest();
  const ecSigner = ecDigest.available ? nativeEcSigner(ecDigest) : undefined;
  runSelfTests(ecSigner ?? arithmeticEcSigner);
  const engine = createEngine({
    notify: notifyHost,
    ...(keyFile === undefined ? {} : { rootFile: descriptorFile(keyFile) }),
    ...(collect === undefined ? {} : { collect }),
    ...(ecSigner === undefined ? {} : { ecSigner }),
    ...(prepared.available ? { preparedSigner: nativePreparedSigner(prepared) } : {}),
    ...(ecDigest.available ? {} : { ecSignerMissing: ecDigest.reason }),
    ...overrides,
  });
  serveGuest({ steps, handle: (op, body) => engine.handle(op, body) });
}
