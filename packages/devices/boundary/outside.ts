// What the host sees of a guest's isolation from outside, without believing the guest.
import { closeSync, openSync, readFileSync } from "node:fs";
import type { IsolationStep } from "@casemate/devices/contract";

function statusFields(pid: number): ReadonlyMap<string, string> {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return new Map(text.split("\n").map((line) => [line.split(":")[0] ?? "", line.split(":")[1]?.trim() ?? ""]));
}

function memoryIsClosed(pid: number): IsolationStep {
  const step = "memory closed to this server";
  try {
    closeSync(openSync(`/proc/${pid}/mem`, "r"));
    return {
      step,
      holds: false,
      detail:
        process.getuid?.() === 0 ? "tried; the server runs as root, which reads every process" : "tried; readable",
    };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EPERM") return { step, holds: true, detail: "tried; the kernel refuses" };
    // A server without a free descriptor has been refused nothing.
    return { step, holds: false, detail: `not found out (${code})` };
  }
}

/** Linux only; elsewhere one step says so. `secureHeapBytes` 0 leaves out the locked memory. */
export function inspectFromOutside(pid: number, secureHeapBytes: number): IsolationStep[] {
  let fields: ReadonlyMap<string, string>;
  try {
    fields = statusFields(pid);
  } catch (error) {
    return [{ step: "seen from outside", holds: false, detail: `no /proc: ${String(error)}` }];
  }
  const field = (step: string, name: string, wanted: string): IsolationStep => ({
    step,
    holds: fields.get(name) === wanted,
    detail: `/proc says ${name} ${fields.get(name) ?? "nothing"}`,
  });
  const locked = Number.parseInt(fields.get("VmLck") ?? "0", 10) * 1024;
  return [
    field("system call filter, seen from outside", "Seccomp", "2"),
    field("no new privileges, seen from outside", "NoNewPrivs", "1"),
    memoryIsClosed(pid),
    ...(secureHeapBytes === 0
      ? []
      : [
          {
            step: "secure heap locked in memory",
            holds: locked >= secureHeapBytes,
            detail:
              locked >= secureHeapBytes
                ? `${locked} bytes are locked`
                : `${locked} of ${secureHeapBytes} bytes are locked: it may reach swap; raise the limit of locked memory (ulimit -l)`,
          },
        ]),
  ];
}
