import { spawnSync } from "node:child_process";
import { secureHeapUsed } from "node:crypto";
import { closeSync, fstatSync, openSync } from "node:fs";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { ATTEMPTS, canBindNative, nativeCalls, type NativeCalls } from "@casemate/foundation/ffi";
import type { ReportedStep } from "../hello.ts";
import { guestBoot } from "./boot.ts";

/** Node's permission scopes, and how to find out that one is really refused where that can be tried at once. */
const SCOPES: Readonly<Record<string, (() => void) | undefined>> = {
  fs: () => closeSync(openSync("/", "r")),
  net: undefined,
  child: () => {
    const { error } = spawnSync("/", []);
    if (error !== undefined) throw error;
  },
  worker: () => void new Worker("", { eval: true }).terminate(),
  wasi: undefined,
  addon: undefined,
  inspector: undefined,
  ffi: undefined,
};

interface Permission {
  has(scope: string): boolean;
  drop?(scope: string): void;
}

const result = (step: string, holds: boolean, detail: string): ReportedStep => ({ step, holds, detail });

/** Runs one hardening call, then asks whether it took effect. */
function attempt(step: string, run: () => void, holds: () => boolean, detail: string): ReportedStep {
  try {
    run();
    return holds() ? result(step, true, detail) : result(step, false, "the kernel accepted it without effect");
  } catch (error) {
    return result(step, false, error instanceof Error ? error.message : String(error));
  }
}

function hardenProcess({ processCalls: calls }: NativeCalls): ReportedStep[] {
  if (!calls.available) return [result("unreadable for its own user", false, calls.reason)];
  return [
    attempt("no core files", calls.forbidCoreFiles, calls.coreFilesForbidden, "RLIMIT_CORE is 0"),
    attempt(
      "unreadable for its own user",
      calls.setNotDumpable,
      () => !calls.isDumpable(),
      "not dumpable: /proc and ptrace are closed to everybody but root",
    ),
    attempt("no new privileges", calls.setNoNewPrivileges, calls.hasNoNewPrivileges, "PR_SET_NO_NEW_PRIVS is set"),
  ];
}

function confine({ seccomp, attempts }: NativeCalls): ReportedStep[] {
  if (!seccomp.available) return [result("system call filter", false, seccomp.reason)];
  try {
    seccomp.confineGuest();
  } catch (error) {
    return [result("system call filter", false, error instanceof Error ? error.message : String(error))];
  }
  const filter = result("system call filter", true, "seccomp with a list of allowed calls, on every thread");
  if (!attempts.available) return [filter, result("system call filter tried", false, attempts.reason)];
  return [
    filter,
    ...ATTEMPTS.map((what) => {
      const refused = attempts.refused(what);
      return result(`cannot ${what}`, refused, refused ? "tried; the kernel refuses" : "tried; still possible");
    }),
  ];
}

function refuses(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ERR_ACCESS_DENIED";
  }
}

function dropPermissions(): ReportedStep[] {
  const permission = process.permission as unknown as Permission | undefined;
  if (permission === undefined)
    return [result("Node permission model", false, "Node was started without --permission")];
  return Object.entries(SCOPES).map(([scope, tryIt]) => {
    permission.drop?.(scope);
    const step = `Node refuses ${scope}`;
    if (permission.has(scope)) return result(step, false, "the permission could not be dropped");
    const tried = scope === "ffi" ? !canBindNative() : tryIt === undefined ? undefined : refuses(tryIt);
    return result(step, tried !== false, tried === undefined ? "permission dropped" : "permission dropped; tried");
  });
}

function secureHeap(): ReportedStep {
  const total = secureHeapUsed()?.total ?? 0;
  const wanted = guestBoot().secureHeapBytes;
  const detail = wanted === 0 ? "not asked for" : `${total} bytes, kept out of core files`;
  return result("secure heap", wanted > 0 && total >= wanted, detail);
}

const HIGHEST_DESCRIPTOR_TRIED = 255;

/** Files, directories and sockets that nobody passed on. What Node opens for itself is none of these. */
function foreignDescriptors(): ReportedStep {
  const expected = new Set([0, 1, 2, 3, ...guestBoot().descriptors]);
  const found: number[] = [];
  for (let fd = 0; fd <= HIGHEST_DESCRIPTOR_TRIED; fd++) {
    if (expected.has(fd)) continue;
    try {
      const kind = fstatSync(fd);
      if (kind.isFile() || kind.isDirectory() || kind.isSocket() || kind.isBlockDevice()) found.push(fd);
    } catch {
      // not open
    }
  }
  const detail = found.length === 0 ? "looked; only the ones passed on" : `also open: ${found.join(", ")}`;
  return result("no foreign descriptors", found.length === 0, detail);
}

/**
 * Gives up everything this process will not need and reports what holds, found by trying. Call it once, after the last
 * module is loaded and the last native function is bound (`nativeCalls()` binds all), before serving.
 */
export function hardenGuest(): ReportedStep[] {
  const native = nativeCalls();
  const noSqlite = process.getBuiltinModule("node:sqlite") === undefined;
  return [
    ...hardenProcess(native),
    ...confine(native),
    ...dropPermissions(),
    result(
      "no SQLite",
      noSqlite,
      noSqlite ? "tried; the module is absent" : "node:sqlite opens files past the permissions",
    ),
    foreignDescriptors(),
    secureHeap(),
  ];
}
