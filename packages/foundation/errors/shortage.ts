import { CasemateError } from "./casemate-error.ts";

/** What the system lacks when it opens no file or starts no process, by errno. All of it may be there again without anybody's doing. */
const SHORTAGES: ReadonlyMap<string, readonly [why: string, hint: string]> = new Map([
  [
    "EMFILE",
    [
      "the server has no free file descriptor",
      "Close connections, or start the server with more file descriptors (ulimit -n, LimitNOFILE= of systemd).",
    ],
  ],
  ["ENFILE", ["the system has no free file descriptor", "End programs that hold many files, or raise fs.file-max."]],
  [
    "EAGAIN",
    [
      "the system starts no more processes for this account",
      "End processes, or raise their number (ulimit -u, TasksMax= of systemd).",
    ],
  ],
  ["ENOMEM", ["there is not enough memory", "End programs, or give the machine more memory."]],
]);

/**
 * UNAVAILABLE, when something failed because the system is short of descriptors, processes or memory, wherever among its causes that was
 * met. `what` could not be done.
 */
export function shortageOf(error: unknown, what: string): CasemateError<"UNAVAILABLE"> | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = "code" in cause ? String(cause.code) : "";
    const known = SHORTAGES.get(code);
    if (known === undefined) continue;
    const [why, hint] = known;
    return new CasemateError("UNAVAILABLE", `${what}: ${why} (${code})`, { hint, cause: error });
  }
  return undefined;
}
