import type { OpenKeyring } from "@casemate/keyring/core";
import type { DataPaths } from "./data-directory.ts";
import type { Log } from "./log.ts";
import type { RunOptions } from "./options.ts";
import { tlsFor } from "./tls.ts";

const PRINCIPAL = "pkcs11";
const SOCKET_PATH_BYTES = 107;

/** The interface's own token: it sees keys, devices and kept objects, for what applications may see before they log in. */
async function ownToken(keyring: OpenKeyring): Promise<{ readonly token: string; revoke(): Promise<void> }> {
  const helper = await keyring.bootstrapAdmin(`${PRINCIPAL}-start`);
  const admin = await keyring.authenticate(helper.token, "start");
  let cursor: string | undefined;
  do {
    // A server that was killed could not revoke its own.
    const page = await keyring.listTokens(admin, { limit: 1000, ...(cursor === undefined ? {} : { cursor }) });
    for (const left of page.items) {
      if (left.principal === PRINCIPAL && left.revokedAt === undefined) await keyring.revokeToken(admin, left.id);
    }
    cursor = page.next;
  } while (cursor !== undefined);
  const { token, view } = await keyring.createToken(admin, {
    principal: PRINCIPAL,
    roles: ["operator"],
    note: "the PKCS#11 interface of this server, until it stops",
  });
  return {
    token,
    async revoke() {
      await keyring.revokeToken(admin, view.id);
      await keyring.revokeToken(admin, helper.view.id);
    },
  };
}

export interface Pkcs11Door {
  readonly remark?: string;
  close(): Promise<void>;
}

const LOOK_AGAIN_MS = 500;

async function openDoor(keyring: OpenKeyring, paths: DataPaths, log: Log, options: RunOptions): Promise<Pkcs11Door> {
  const { createPkcs11Server } = await import("@casemate/interfaces/pkcs11");
  const own = await ownToken(keyring);
  const remote = options.pkcs11Listen;
  const material = remote === undefined ? undefined : await tlsFor(options.tls, remote.host, paths);
  const server = await createPkcs11Server({
    keyring,
    objects: keyring.objects,
    socketPath: paths.pkcs11,
    log,
    serviceToken: own.token,
    ...(remote === undefined || material === undefined
      ? {}
      : { remote: { ...remote, key: material.key, cert: material.certificate } }),
  });
  const at = remote === undefined ? undefined : `${remote.host}:${server.remotePort ?? remote.port}`;
  return {
    ...(at === undefined
      ? {}
      : { remark: `PKCS#11 from other machines: casemate pkcs11 bridge --remote ${at}; ${material?.remark ?? ""}` }),
    async close() {
      await server.close();
      await own.revoke();
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
    remark: "PKCS#11 applications can connect once a device is unlocked",
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
