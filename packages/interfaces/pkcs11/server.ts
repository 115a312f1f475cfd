// Casemate as a PKCS#11 token: a server of p11-kit's RPC protocol on a unix socket.
import { chmodSync, lstatSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { systemClock, systemRandom, type Clock, type Random } from "@casemate/foundation/effects";
import { Awake } from "@casemate/foundation/processors";
import { Locks, type Caller, type Keyring, type ObjectStore } from "@casemate/keyring/core";
import type { Shared } from "./application.ts";
import { Catalogue, PIN_RECORD_CLASS, viewKey } from "./catalogue.ts";
import { Connection } from "./connection.ts";
import type { Pkcs11Log, Ports } from "./context.ts";
import { dropped } from "./dropped.ts";
import { openRemote, type RemoteOptions } from "./remote.ts";
import { Pins } from "./pins.ts";
import { SessionKeyring, type SessionKeyVault } from "./session-keyring.ts";
import { isMade, Slots } from "./slots.ts";

export interface Pkcs11ServerOptions {
  readonly keyring: Keyring;
  /** Where certificates, data objects, public keys and sealed PINs are kept. */
  readonly objects: ObjectStore;
  /** The process of the session keys; whoever gives it closes it. */
  readonly sessionKeys: SessionKeyVault;
  /** Absolute path of the unix socket; made with mode 0600. */
  readonly socketPath: string;
  readonly log: Pkcs11Log;
  /**
   * The interface's own caller: it lists devices and shows public objects before a login, and finds sealed PINs.
   * It needs to read keys, devices and objects, nothing more. Without it only the slot of the whole keyring exists
   * and nothing is seen before a login.
   */
  readonly service?: Caller;
  /** Also listen for bridges of other machines. */
  readonly remote?: RemoteOptions;
  /** Connections held at once by the socket, and by TLS; the default is 4096. */
  readonly maxConnections?: number;
  /** Milliseconds without a byte after which a connection with half a request is closed; the default is a minute. */
  readonly unfinishedMs?: number;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface Pkcs11Server {
  readonly socketPath: string;
  /** Port of the TLS listener, where there is one. */
  readonly remotePort?: number;
  /** Open connections. */
  readonly connections: number;
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 4096;
const UNFINISHED_MS = 60_000;
/** Applications that start at once: a full queue refuses a unix socket at once instead of letting it wait. */
const BACKLOG = 4096;

/** Removes a socket that nobody listens on. @throws STORAGE_IN_USE when somebody does, CONFIG_INVALID for anything that is no socket. */
async function clearSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new CasemateError("CONFIG_INVALID", `${path} is there and is no socket`, {
      hint: "Move it away: PKCS#11 is served at this path.",
    });
  }
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (alive) {
    throw new CasemateError("STORAGE_IN_USE", `another process listens on ${path}`, {
      hint: "Stop the other server, or use another data directory.",
    });
  }
  rmSync(path, { force: true });
}

async function listen(server: Server, path: string): Promise<void> {
  // The mask makes the socket private from its first moment, not only after chmod.
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path, backlog: BACKLOG }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (cause) {
    throw new CasemateError("CONFIG_INVALID", `cannot listen on ${path}`, {
      cause,
      hint: "A unix socket's path has at most 107 bytes and its directory must exist.",
    });
  } finally {
    process.umask(before);
  }
  chmodSync(path, 0o600);
}

/** Tokens that C_InitToken made, and labels that it gave, in earlier runs. */
async function restoreTokens(shared: Shared): Promise<void> {
  const caller = await shared.service();
  if (caller === undefined) return;
  const { keyring, objects, log } = shared.ports;
  try {
    shared.slots.update(await keyring.listDevices(caller));
    const { items } = await objects.find(caller, { class: PIN_RECORD_CLASS, label: "token", limit: 1000 });
    const inOrder = items.toSorted((a, b) => (a.tokenLabel < b.tokenLabel ? -1 : 1));
    for (const { tokenLabel: home, attributes } of inOrder) {
      const label = new TextDecoder().decode(attributes);
      const slot = shared.slots.all().find((candidate) => candidate.kind !== "free" && candidate.home === home);
      if (slot !== undefined) slot.label = label;
      else if (isMade(home)) shared.slots.make(home, label);
    }
    shared.slots.offerFree();
  } catch (error) {
    if (!isCasemateError(error)) throw error;
    log.warn({ code: error.code }, "pkcs11: devices and token labels cannot be read");
  }
}

/** @throws STORAGE_IN_USE, CONFIG_INVALID. */
export async function createPkcs11Server(options: Pkcs11ServerOptions): Promise<Pkcs11Server> {
  const { keyring, objects, log, socketPath } = options;
  const service = (): Promise<Caller | undefined> => Promise.resolve(options.service);
  const sessionKeys = new SessionKeyring(options.sessionKeys, keyring, service);
  const ports: Ports = {
    keyring,
    objects,
    sessionKeys,
    service: options.service,
    log,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  };
  let uid = 0;
  const connections = new Set<Connection>();
  const shared: Shared = {
    ports,
    slots: new Slots(),
    catalogue: new Catalogue(ports),
    pins: new Pins(ports, service),
    awake: new Awake(),
    locks: new Locks(),
    held: { bytes: 0 },
    kept: { bytes: 0 },
    unfinishedMs: options.unfinishedMs ?? UNFINISHED_MS,
    service,
    lists: { asked: 0, heard: 0 },
    removed(slot) {
      for (const { application } of connections) application.closeAll(slot);
    },
    sessionCounts: new Map(),
    nextUid: () => `session/${++uid}`,
  };
  await restoreTokens(shared);
  await shared.pins.restore();
  const unsubscribe = keyring.subscribe((change) => {
    for (const { application } of connections) application.changed(change);
  });
  sessionKeys.onLost(() => {
    log.warn({}, "pkcs11: the process of the session keys ended; all session keys are gone");
    for (const { application } of connections) application.loseSessionKeys();
  });
  /** What is kept for a caller is dropped with the caller's last connection. */
  const forgetViews = (): void => {
    const present = [...connections].flatMap(({ application }) => application.callers().map(viewKey));
    void service().then((own) =>
      shared.catalogue.retain(new Set(own === undefined ? present : [...present, viewKey(own)])),
    );
  };
  const welcome = (socket: Socket): void => {
    const connection = new Connection(socket, shared);
    connections.add(connection);
    socket.once("close", () => {
      const before = connection.application.callers();
      connections.delete(connection);
      if (before.length > 0) forgetViews();
    });
  };
  const server = createServer({ noDelay: true }, welcome);
  const most = options.maxConnections ?? MAX_CONNECTIONS;
  const refusals = dropped(ports);
  refusals.limit(server, "socket", most);
  await clearSocket(socketPath);
  await listen(server, socketPath);
  const remote =
    options.remote === undefined
      ? undefined
      : await openRemote(options.remote, ports, welcome, (door) => refusals.limit(door, "tls", most));
  log.info({ socketPath, ...(remote === undefined ? {} : { port: remote.port }) }, "pkcs11: listening");
  return {
    socketPath,
    ...(remote === undefined ? {} : { remotePort: remote.port }),
    get connections() {
      return connections.size;
    },
    async close() {
      for (const connection of connections) connection.close();
      unsubscribe();
      shared.catalogue.close();
      shared.awake.close();
      refusals.close();
      await remote?.close();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
