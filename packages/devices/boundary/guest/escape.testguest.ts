// A guest that tries, from inside, what a boundary process must not be able to do. Each request names one attempt.
import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { createSocket } from "node:dgram";
import { Worker } from "node:worker_threads";
import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import { canBindNative } from "@casemate/foundation/ffi";
import { hardenGuest, serveGuest } from "./index.ts";

/** Resolves with what went wrong; "done" when nothing did. */
type Attempt = () => string | Promise<string>;

const sync =
  (run: () => unknown): Attempt =>
  () => {
    run();
    return "done";
  };

interface Emitter {
  on(event: "error", listener: (error: Error & { code?: string }) => void): unknown;
}

/** For attempts that report through events. */
const emits =
  (start: () => Emitter, success: string): Attempt =>
  () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    late = resolve;
    const emitter = start();
    emitter.on("error", (error) => resolve(error.code ?? error.message));
    (emitter as unknown as { on(event: string, listener: () => void): void }).on(success, () => resolve("done"));
    return promise;
  };

/** Node reports a refused listen past the emitter. */
let late: (outcome: string) => void = () => undefined;

const spawned = (): string => {
  const { error } = spawnSync("/bin/true");
  return error === undefined ? "done" : ((error as { code?: string }).code ?? error.message);
};

const ATTEMPTS: Readonly<Record<string, Attempt>> = {
  "read a file": sync(() => readFileSync("/etc/passwd")),
  "read own sources": sync(() => readFileSync(new URL(import.meta.url))),
  "read own memory": sync(() => closeSync(openSync("/proc/self/mem", "r"))),
  "list a directory": sync(() => readdirSync("/")),
  "stat a file": sync(() => statSync("/etc/passwd")),
  "write a file": sync(() => writeFileSync("/tmp/casemate-escape", "x")),
  "make a directory": sync(() => mkdtempSync("/tmp/casemate-escape-")),
  "connect by TCP": emits(() => connect(9, "127.0.0.1"), "connect"),
  "connect to a Unix socket": emits(() => connect("/run/nothing"), "connect"),
  "listen on TCP": emits(() => createServer().listen(0, "127.0.0.1"), "listening"),
  "use UDP": emits(() => createSocket("udp4").bind(0), "listening"),
  "start a child": emits(() => spawn("/bin/true"), "exit"),
  "start a child and wait": spawned,
  "become another program": sync(() => process.execve?.("/bin/true", ["true"], {})),
  "start a thread of Node": sync(() => void new Worker("", { eval: true }).terminate()),
  "bind a native function": () => (canBindNative() ? "done" : "ERR_ACCESS_DENIED"),
  "load an addon": sync(() => process.dlopen({ exports: {} }, "/lib/x86_64-linux-gnu/libc.so.6")),
  "open a database": () => (process.getBuiltinModule("node:sqlite") === undefined ? "absent" : "done"),
  "signal its parent": sync(() => process.kill(process.ppid, 0)),
  "change its user": sync(() => process.setuid?.(65_533)),
  "compile a string": sync(() => Reflect.construct(Function, ["return 1"])),
  "write a heap snapshot": sync(() => process.getBuiltinModule("node:v8").writeHeapSnapshot("/tmp/casemate-escape")),
  "write a report": () => process.report.writeReport("/tmp/casemate-escape"),
};

const steps = hardenGuest();

serveGuest({
  steps,
  async handle(_op, body) {
    const attempt = ATTEMPTS[fromUtf8(body)];
    if (attempt === undefined) return toUtf8(JSON.stringify(Object.keys(ATTEMPTS)));
    try {
      return toUtf8(await attempt());
    } catch (error) {
      return toUtf8((error as { code?: string }).code ?? String(error));
    }
  },
});

process.removeAllListeners("uncaughtException");
process.on("uncaughtException", (error: Error & { code?: string }) => late(error.code ?? error.message));
