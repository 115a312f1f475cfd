import { existsSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { anonymous, findServer } from "../connection.ts";
import { shown } from "../failure.ts";
import type { Check, Finding } from "./finding.ts";

const NODE_MAJOR = 26;
const LEAST_FREE_BYTES = 256 * 1024 * 1024;
/** No clock that is right shows a time before this program was written. */
const EARLIEST = Date.parse("2026-11-01T00:00:00Z");

export const node: Check = {
  about: "Node",
  look: () => {
    const right = Number(process.versions.node.split(".")[0]) >= NODE_MAJOR;
    const found = `${process.versions.node} with OpenSSL ${process.versions.openssl} at ${process.execPath}`;
    return [{ about: "Node", state: right ? "ok" : "bad", found }];
  },
};

export const server: Check = {
  about: "server",
  look: async (session) => {
    try {
      const target = findServer(session);
      const { status, alarm, warning } = await anonymous(target).health();
      const found = `answers at ${target.where}: ${alarm ?? warning ?? status}`;
      const state = alarm !== undefined ? "bad" : warning !== undefined ? "note" : "ok";
      return [{ about: "server", state, found }];
    } catch (error) {
      return [{ about: "server", state: "note", found: shown(error).message, hint: "`casemate up` starts one." }];
    }
  },
};

/** The directory itself, or the nearest one above that exists. */
function nearest(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

export const dataDirectoryAndDisk: Check = {
  about: "data directory",
  look: ({ paths }) => {
    const findings: Finding[] = [];
    if (existsSync(paths.root)) {
      const mode = statSync(paths.root).mode & 0o777;
      const shut = (mode & 0o077) === 0;
      findings.push({
        about: "data directory",
        state: shut ? "ok" : "bad",
        found: `${paths.root}, mode ${mode.toString(8).padStart(4, "0")}`,
        ...(shut ? {} : { hint: `Others may look in: chmod 700 ${paths.root}` }),
      });
    } else {
      findings.push({ about: "data directory", state: "note", found: `${paths.root} is not there yet` });
    }
    const disk = statfsSync(nearest(paths.root));
    const free = disk.bavail * disk.bsize;
    findings.push({
      about: "disk",
      state: free >= LEAST_FREE_BYTES ? "ok" : "bad",
      found: `${(free / 2 ** 30).toFixed(1)} GiB free`,
      ...(free >= LEAST_FREE_BYTES ? {} : { hint: "A full disk stops every change: make room." }),
    });
    return findings;
  },
};

/** Files that time services leave when the clock is set. */
const SYNCHRONISED = ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/ntpd.pid"];

export const clock: Check = {
  about: "clock",
  look: () => {
    const now = new Date();
    if (now.getTime() < EARLIEST) {
      const found = `${now.toISOString()} cannot be right`;
      return [{ about: "clock", state: "bad", found, hint: "Set the time: dates of keys and tokens depend on it." }];
    }
    const service = SYNCHRONISED.some((path) => existsSync(path));
    const found = `${now.toISOString()}, ${service ? "a time service runs" : "no sign of a time service"}`;
    return [{ about: "clock", state: service ? "ok" : "note", found }];
  },
};
