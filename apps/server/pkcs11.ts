import { hostname } from "node:os";
import type { OpenKeyring } from "@casemate/keyring/core";
import type { DataPaths } from "./data-directory.ts";
import type { Log } from "./log.ts";
import { isEveryAddress, isLoopback, type RunOptions } from "./options.ts";
import { openSessionKeyProcess } from "./session-keys.ts";
import { tlsFor } from "./tls.ts";

const SOCKET_PATH_BYTES = 107;

export interface Pkcs11Door {
  readonly remark?: string;
  close(): Promise<void>;
}

const LOOK_AGAIN_MS = 500;

/** What another machine can call this one. */
const nameOf = (host: string): string => (isEveryAddress(host) ? hostname() : host);

async function openDoor(keyring: OpenKeyring, paths: DataPaths, log: Log, options: RunOptions): Promise<Pkcs11Door> {
  const { createPkcs11Server } = await import("@casemate/interfaces/pkcs11");
  const sessionKeys = await openSessionKeyProcess({
    log: (line) => log.warn({ process: "session keys" }, line),
    started: ({ pid, isolation }) =>
      log.info({ pid, missing: isolation.filter(({ holds }) => !holds) }, "the process of the session keys started"),
  });
  // It sees keys, devices and kept objects, for what applications may see before they log in.
  const service = await keyring.serviceCaller("pkcs11", ["operator"]);
  const remote = options.pkcs11Listen;
  const material = remote === undefined ? undefined : await tlsFor(options.tls, remote.host, paths);
  const server = await createPkcs11Server({
    keyring,
    objects: keyring.objects,
    socketPath: paths.pkcs11,
    log,
    service,
    sessionKeys,
    ...(remote === undefined || material === undefined
      ? {}
      : { remote: { ...remote, key: material.key, cert: material.certificate } }),
  });
  const at = remote === undefined ? undefined : `${nameOf(remote.host)}:${server.remotePort ?? remote.port}`;
  // A REST door beyond loopback has said it already: both show the certificate that was made here.
  const trust = material?.remark === undefined || !isLoopback(options.listen.host) ? "" : `; ${material.remark}`;
  return {
    ...(at === undefined
      ? {}
      : {
          remark: `PKCS#11 from other machines: eval "$(casemate pkcs11 env --remote ${at} --ca-file CERTIFICATE --token-file TOKEN)"${trust}`,
        }),
    async close() {
      try {
        await server.close();
      } finally {
        await sessionKeys.close();
      }
    },
  };
}

/** A sealed keyring answers no application: the socket appears when a device was unlocked. */
function openOnceUnsealed(keyring: OpenKeyring, paths: DataPaths, log: Log, options: RunOptions): Pkcs11Door {
  let door: Promise<Pkcs11Door> | undefined;
  const timer = setInterval(() => {
    if (keyring.sealed) return;
    clearInterval(timer);
    door = openDoor(keyring, paths, log, options);
    door.catch((error: unknown) => log.error({ err: error }, "the PKCS#11 socket could not be opened"));
  }, LOOK_AGAIN_MS);
  return {
    remark:
      keyring.alarm === undefined
        ? "PKCS#11 applications can connect once a device is unlocked"
        : "PKCS#11 applications can connect once the alarm is settled",
    async close() {
      clearInterval(timer);
      const opened = await door?.catch(() => undefined);
      await opened?.close();
    },
  };
}

/** Opens the PKCS#11 socket in the data directory: at once, or when a sealed keyring opens. A path too long for a socket is said. */
export async function openPkcs11(
  keyring: OpenKeyring,
  paths: DataPaths,
  log: Log,
  options: RunOptions,
): Promise<Pkcs11Door> {
  if (Buffer.byteLength(paths.pkcs11) > SOCKET_PATH_BYTES) {
    const remark = "the data directory's path is too long for a unix socket; PKCS#11 applications cannot connect";
    return { remark, close: () => Promise.resolve() };
  }
  return keyring.sealed ? openOnceUnsealed(keyring, paths, log, options) : openDoor(keyring, paths, log, options);
}
