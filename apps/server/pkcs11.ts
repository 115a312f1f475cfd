import type { OpenKeyring } from "@casemate/keyring/core";
import type { DataPaths } from "./data-directory.ts";
import type { Log } from "./log.ts";

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

/** Opens the PKCS#11 socket in the data directory. A sealed keyring or a long path leaves it closed, and says so. */
export async function openPkcs11(keyring: OpenKeyring, paths: DataPaths, log: Log): Promise<Pkcs11Door> {
  const closed = (remark: string): Pkcs11Door => ({ remark, close: () => Promise.resolve() });
  if (Buffer.byteLength(paths.pkcs11) > SOCKET_PATH_BYTES) {
    return closed("the data directory's path is too long for a unix socket; PKCS#11 applications cannot connect");
  }
  if (keyring.sealed) return closed("PKCS#11 is closed until a device is unlocked and the server is started again");
  const { createPkcs11Server } = await import("@casemate/interfaces/pkcs11");
  const own = await ownToken(keyring);
  const server = await createPkcs11Server({
    keyring,
    objects: keyring.objects,
    socketPath: paths.pkcs11,
    log,
    serviceToken: own.token,
  });
  return {
    async close() {
      await server.close();
      await own.revoke();
    },
  };
}
