import type { Command } from "commander";
import { anonymous, findServer, namedUrl } from "../connection.ts";
import { EXIT, notReachable, shown } from "../failure.ts";
import type { Session } from "../session.ts";
import type { Device, HealthResult, WhoamiResult } from "@casemate/sdk";
import type { Target } from "../transport.ts";
import { printDevices } from "./device/list.ts";

/** A server that takes connections and says nothing for so long, such as a stopped process, is as good as none. */
const PATIENCE_MS = 5_000;

const EXITS =
  "\nExits with 0 when all is well or there is only a warning, 1 while there is an alarm, 3 while no server answers.";

interface Known extends WhoamiResult {
  readonly devices: readonly Device[];
}

/** What the server tells this caller; undefined for a caller whom it tells nothing. */
async function known(session: Session): Promise<Known | undefined> {
  try {
    const client = await session.client();
    const who = await client.whoami();
    const { items } = await client.listDevices();
    return { ...who, devices: items };
  } catch (error) {
    const { message, code, details } = shown(error);
    if (code === "INTERNAL" || details["reachable"] === false) throw error;
    session.out.note(`${message} (${code})`);
    return undefined;
  }
}

async function answerOf(target: Target): Promise<HealthResult> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    return await anonymous(target).health({ signal });
  } catch (error) {
    if (signal.aborted) throw notReachable(target.where, error);
    throw error;
  }
}

export function define(command: Command, session: Session): void {
  command.addHelpText("after", EXITS).action(async () => {
    const target = findServer(session);
    // Health needs no token: first learn whether anybody is there at all.
    const health = await answerOf(target);
    const more = await known(session);
    // The data directory of a server that was named by its address is not ours to know.
    const own = namedUrl(session) === undefined ? { dataDirectory: session.paths.root } : {};
    session.out.answer({ ...health, address: target.where, ...own, ...more }, () => {
      const version = more === undefined ? "" : ` ${more.server}`;
      session.out.line(`Casemate${version} answers at ${target.where}: ${health.status}.`);
      if (health.alarm !== undefined) session.out.line({ style: "red", text: `Alarm: ${health.alarm}` });
      if (health.warning !== undefined) session.out.line({ style: "yellow", text: `Warning: ${health.warning}` });
      if (more === undefined) return;
      session.out.line(`You are ${more.principal} (${more.roles.join(", ")}).\n`);
      printDevices(session, more.devices);
    });
    if (health.alarm !== undefined) process.exitCode = EXIT.refused;
  });
}
