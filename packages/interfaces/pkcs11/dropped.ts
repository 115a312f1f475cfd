/** Connections that found no room: counted each, told of once a minute, since whoever makes too many makes very many. */
import type { Server } from "node:net";
import type { Keyring } from "@casemate/keyring/core";
import type { Pkcs11Log } from "./context.ts";

const TELL_EVERY_MS = 60_000;

export interface Dropped {
  /** Closes what comes beyond `most` connections, as Node does it, and no longer in silence. */
  limit(server: Server, door: "socket" | "tls", most: number): void;
  /** Tells what was not told yet. */
  close(): void;
}

export function dropped(
  { keyring, log }: { readonly keyring: Pick<Keyring, "count">; readonly log: Pkcs11Log },
  everyMs = TELL_EVERY_MS,
): Dropped {
  let untold = 0;
  let limit = 0;
  let timer: NodeJS.Timeout | undefined;
  const tell = (): void => {
    timer = undefined;
    if (untold === 0) return;
    log.warn({ dropped: untold, limit }, "pkcs11: connections were closed, since as many are open as may be");
    untold = 0;
    timer = setTimeout(tell, everyMs).unref();
  };
  return {
    limit(server, door, most) {
      server.maxConnections = most;
      server.on("drop", () => {
        keyring.count(`casemate_pkcs11_connections_dropped_total{door="${door}"}`);
        untold += 1;
        limit = most;
        if (timer === undefined) tell();
      });
    },
    close() {
      clearTimeout(timer);
      tell();
      clearTimeout(timer);
    },
  };
}
