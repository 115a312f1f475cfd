import type { Device } from "@casemate/devices/contract";
import type { DataPaths } from "./data-directory.ts";

export interface Announcement {
  readonly url: string;
  readonly socket: string | undefined;
  readonly paths: DataPaths;
  readonly devices: ReadonlyMap<string, Device>;
  readonly firstRun: boolean;
  readonly readyMs: number;
  readonly remarks: readonly string[];
  /** What is wrong already at the start, and what to do. */
  readonly alarm: string | undefined;
  /** How the program is called here: `casemate`, or through npx inside the repository. */
  readonly program: string;
}

interface Row {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly unlockedBy: string;
}

async function rowOf(device: Device): Promise<Row> {
  const { id, kind, virtual } = device.identity;
  const { state, rootOfTrust } = await device.status();
  return { id, kind: virtual ? `${kind} (virtual)` : kind, state, unlockedBy: rootOfTrust ?? "-" };
}

function table(rows: readonly Row[]): string[] {
  const all = [{ id: "DEVICE", kind: "KIND", state: "STATE", unlockedBy: "UNLOCKED BY" }, ...rows];
  const width = (cell: (row: Row) => string): number => Math.max(...all.map((row) => cell(row).length));
  const [id, kind, state] = [width((row) => row.id), width((row) => row.kind), width((row) => row.state)];
  return all.map(
    (row) => `  ${row.id.padEnd(id)}  ${row.kind.padEnd(kind)}  ${row.state.padEnd(state)}  ${row.unlockedBy}`,
  );
}

function nextSteps(locked: readonly Row[], firstRun: boolean, alarm: string | undefined): string[] {
  if (alarm !== undefined) return ["status", "doctor"];
  const unlock = locked.map(({ id }) => `device unlock ${id}`);
  if (!firstRun) return [...unlock, "key list", "audit verify"];
  return [
    ...unlock,
    "key create release --algorithm ec-p256 --use sign",
    "sign release --in package.json --out package.json.sig",
    "key public release > release.pem",
  ];
}

/** What `casemate up` prints once requests are answered. */
export async function announce({ json, ...facts }: Announcement & { readonly json: boolean }): Promise<string> {
  const { url, socket, paths, devices, firstRun, readyMs, remarks, alarm } = facts;
  const rows = await Promise.all([...devices.values()].map(rowOf));
  if (json) {
    const line = {
      url,
      socket,
      dataDirectory: paths.root,
      adminToken: paths.adminToken,
      devices: rows,
      readyMs,
      firstRun,
      remarks,
      alarm,
    };
    return `${JSON.stringify(line)}\n`;
  }
  const locked = rows.filter(({ state }) => state === "locked");
  const lines = [
    `Casemate is ready at ${url} (${(readyMs / 1000).toFixed(2)} s)`,
    `  data directory  ${paths.root}`,
    ...(socket === undefined ? [] : [`  unix socket     ${socket}`]),
    ...(firstRun ? [`  administrator   token in ${paths.adminToken}; the CLI on this account finds it by itself`] : []),
    "",
    ...table(rows),
    "",
    ...(alarm === undefined ? [] : [`Alarm: ${alarm}`]),
    ...remarks.map((remark) => `Note: ${remark}`),
    "Type next, in another terminal:",
    ...nextSteps(locked, firstRun, alarm).map((step) => `  ${facts.program} ${step}`),
    "",
  ];
  return lines.join("\n");
}
