import type { Command } from "commander";
import { Api } from "../api.ts";
import { findServer } from "../connection.ts";
import type { Session } from "../session.ts";
import type { Device } from "../views.ts";
import { printDevices } from "./device/list.ts";

interface Health {
  readonly status: string;
  readonly version: string;
}

export function define(command: Command, session: Session): void {
  command.action(async () => {
    const { local: _, ...target } = findServer(session);
    // Health needs no token: first learn whether anybody is there at all.
    const health = await new Api(target).get<Health>("/v1/health");
    const api = await session.api();
    const { items } = await api.get<{ readonly items: readonly Device[] }>("/v1/devices");
    session.out.answer({ ...health, address: target.where, dataDirectory: session.paths.root, devices: items }, () => {
      session.out.line(`Casemate ${health.version} answers at ${target.where}: ${health.status}.`);
      session.out.line();
      printDevices(session, items);
    });
  });
}
