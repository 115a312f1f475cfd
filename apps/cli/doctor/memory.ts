import { readFileSync } from "node:fs";
import type { Check, Finding } from "./finding.ts";

/** The default secure heap of a virtual HSM. */
const SECURE_HEAP_BYTES = 2 * 1024 * 1024;

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function lockable(): Finding {
  const soft = /^Max locked memory\s+(\S+)/m.exec(read("/proc/self/limits"))?.[1];
  const about = "secure heap locked";
  if (soft === undefined) return { about, state: "note", found: "the limit on locked memory is not known here" };
  const enough = soft === "unlimited" || Number(soft) >= SECURE_HEAP_BYTES || process.getuid?.() === 0;
  const amount = soft === "unlimited" ? "unlimited" : `${Number(soft) / 1024} KiB`;
  return {
    about,
    state: enough ? "ok" : "note",
    found: `RLIMIT_MEMLOCK is ${amount}, a virtual HSM locks ${SECURE_HEAP_BYTES / 1024} KiB`,
    ...(enough
      ? {}
      : { hint: "Keys may reach the swap space: raise it with `ulimit -l` or LimitMEMLOCK= of systemd." }),
  };
}

function swap(): Finding {
  const devices = read("/proc/swaps").trim().split("\n").length - 1;
  if (devices <= 0) return { about: "swap", state: "ok", found: "none, so nothing can be written out" };
  return {
    about: "swap",
    state: "note",
    found: `${devices} in use`,
    hint: "Symmetric and post-quantum keys are not in the secure heap: encrypt the swap space, or do without.",
  };
}

function tracing(): Finding {
  const scope = read("/proc/sys/kernel/yama/ptrace_scope").trim();
  const about = "ptrace";
  if (scope === "") return { about, state: "note", found: "no Yama: non-dumpable processes are the only guard" };
  return { about, state: scope === "0" ? "note" : "ok", found: `kernel.yama.ptrace_scope is ${scope}` };
}

function cores(): Finding {
  const pattern = read("/proc/sys/kernel/core_pattern").trim();
  return {
    about: "core files",
    state: "ok",
    found: `pattern "${pattern}"; server and boundary set their own limit to 0`,
  };
}

export const memory: Check = { about: "memory", look: () => [lockable(), swap(), tracing(), cores()] };
