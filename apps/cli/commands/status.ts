import type { Command } from "commander";
import { isCasemateError } from "@casemate/foundation/errors";
import { Api } from "../api.ts";
import { findServer } from "../connection.ts";
import type { Session } from "../session.ts";
import type { Device } from "../views.ts";
import { printDevices } from "./device/list.ts";

interface Known {
  readonly server: string;
  readonly principal: string;
  readonly roles: readonly string[];
  readonly devices: readonly Device[];
}

/** What the server tells this caller; undefined for a caller whom it tells nothing. */
async function known(session: Session): Promise<Known | undefined> {
  try {
    const api = await session.api();
    const who = await api.get<Omit<Known, "devices">>("/v1/whoami");
    const { items } = await api.get<{ readonly items: readonly Device[] }>("/v1/devices");
    return { ...who, devices: items };
  } catch (error) {
    if (!isCasemateError(error) || error.details["reachable"] === false) throw error;
    session.out.note(`Note: ${error.message} (${error.code})`);
    return undefined;
  }
}

export function define(command: Command, session: Session): void {
  command.action(async () => {
    const { local: _, ...target } = findServer(session);
    // Health needs no token: first learn whether anybody is there at all.
    const health = await new Api(target).get<{ readonly status: string }>("/v1/health");
    const more = await known(session);
    session.out.answer({ ...health, address: target.where, dataDirectory: session.paths.root, ...more }, () => {
      const version = more === undefined ? "" : ` ${more.server}`;
      session.out.line(`Casemate${version} answers at ${target.where}: ${health.status}.`);
      if (more === undefined) return;
      session.out.line(`You are ${more.principal} (${more.roles.join(", ")}).\n`);
      printDevices(session, more.devices);
    });
  });
}
