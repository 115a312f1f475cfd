import type { ChildProcess } from "node:child_process";
import { availableParallelism } from "node:os";
import { basename, dirname } from "node:path";
import type { Duplex, Readable } from "node:stream";
import type { IsolationStep } from "@casemate/devices/contract";
import { CasemateError, asCasemateError } from "@casemate/foundation/errors";
import { BOOT_SCRIPT, type BootMessage } from "./boot.ts";
import { bundle } from "./bundle.ts";
import { createChannel } from "./channel.ts";
import { HELLO } from "./frames.ts";
import { decodeHello } from "./hello.ts";
import { inspectFromOutside } from "./outside.ts";
import { startProcess } from "./start-process.ts";
import type { BoundaryProcess, LaunchOptions } from "./types.ts";

const CHANNEL_FD = 3;
const START_LIMIT_MS = 15_000;
const STOP_LIMIT_MS = 2_000;
const MAX_LOG_LINE = 500;

function nodeArguments(options: LaunchOptions): string[] {
  return [
    "--permission",
    "--allow-ffi", // dropped by hardenGuest once everything is bound
    "--no-experimental-sqlite", // node:sqlite ignores the file permissions
    "--no-addons",
    "--disable-sigusr1", // no debugger by signal
    "--disallow-code-generation-from-strings",
    "--max-semi-space-size=4",
    "--no-warnings",
    ...(options.secureHeapBytes > 0 ? [`--secure-heap=${options.secureHeapBytes}`, "--secure-heap-min=16"] : []),
    "-e",
    BOOT_SCRIPT,
  ];
}

/** The boot message, made once: a guest that is restarted is the same guest, even when files have changed meanwhile. */
export function prepareGuest(options: LaunchOptions): string {
  const message: BootMessage = {
    ...bundle(options.entry),
    title: `casemate: ${basename(dirname(options.entry))}`,
    guest: {
      secureHeapBytes: options.secureHeapBytes,
      descriptors: (options.descriptors ?? []).map((_, index) => index + CHANNEL_FD + 1),
      ...(options.testSeed === undefined ? {} : { testSeed: options.testSeed.toHex() }),
    },
  };
  return JSON.stringify(message);
}

/** Starts the process, with its output captured and its descriptors in place, and gives it the boot message. @throws UNAVAILABLE, DEVICE_FAILED. */
export async function spawnGuest(options: LaunchOptions, boot: string): Promise<ChildProcess> {
  const descriptors = options.descriptors ?? [];
  const child = await startProcess({
    args: nodeArguments(options),
    firstForeign: CHANNEL_FD + 1 + descriptors.length,
    // Slow operations use every core through libuv's pool; nothing else of the environment is passed on.
    env: { UV_THREADPOOL_SIZE: String(Math.max(2, availableParallelism())) },
    stdio: ["pipe", "pipe", "pipe", "pipe", ...descriptors],
  });
  child.stdin?.on("error", () => undefined); // the exit code tells more
  child.stdin?.end(boot);
  return child;
}

/** Hands each line of the guest's own output to `log`, cut short: a guest prints diagnostics, never payload. */
export function captureLines(stream: Readable, log: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_LOG_LINE);
    for (const line of lines) if (line !== "") log(line.slice(0, MAX_LOG_LINE));
  });
  stream.on("end", () => {
    if (rest !== "") log(rest);
  });
}

export function describeExit(code: number | null, signal: string | null): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}

/**
 * Starts a guest in a process with nothing allowed and waits for its isolation report.
 * @throws CasemateError DEVICE_FAILED when the process ends or breaks the channel before that, TIMEOUT when it says nothing, UNAVAILABLE when
 * the system starts none at present.
 */
export async function launchBoundary(options: LaunchOptions): Promise<BoundaryProcess> {
  return launchPrepared(options, prepareGuest(options));
}

export async function launchPrepared(options: LaunchOptions, boot: string): Promise<BoundaryProcess> {
  const child = await spawnGuest(options, boot);
  const log = options.log ?? (() => undefined);
  const lastLines: string[] = [];
  const keep = (line: string): void => {
    if (lastLines.push(line) > 8) lastLines.shift();
    log(line);
  };
  captureLines(child.stdout as Readable, keep);
  captureLines(child.stderr as Readable, keep);

  let broken: CasemateError | undefined;
  const channel = createChannel(child.stdio[CHANNEL_FD] as Duplex, (error) => {
    broken = error;
    keep(`channel: ${asCasemateError(error.cause).message}`);
    child.kill("SIGKILL");
    channel.close(error);
  });
  const exited = watchExit(child).then((exit) => {
    channel.close(
      new CasemateError("DEVICE_RESTARTED", `the device's process ended (${describeExit(exit.code, exit.signal)})`, {
        hint: "Try again.",
      }),
    );
    return exit;
  });

  const hello = Promise.withResolvers<readonly IsolationStep[]>();
  channel.onNotify((op, body) => {
    if (op === HELLO) hello.resolve(decodeHello(body));
  });
  void exited.then(({ code, signal }) => {
    const last = lastLines.length > 0 ? `: ${lastLines.join(" | ")}` : "";
    hello.reject(
      broken ??
        new CasemateError(
          "DEVICE_FAILED",
          `the device's process ended at start (${describeExit(code, signal)})${last}`,
        ),
    );
  });
  const timer = setTimeout(() => {
    child.kill("SIGKILL");
    hello.reject(new CasemateError("TIMEOUT", `the device's process did not start within ${START_LIMIT_MS} ms`));
  }, START_LIMIT_MS);

  const reported = await hello.promise.finally(() => clearTimeout(timer));
  const pid = child.pid as number;
  return {
    pid,
    channel,
    isolation: [...reported, ...inspectFromOutside(pid, options.secureHeapBytes)],
    exited,
    async stop() {
      child.kill("SIGTERM");
      const kill = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
      await exited;
      clearTimeout(kill);
    },
  };
}

export function watchExit(
  child: ChildProcess,
): Promise<{ readonly code: number | null; readonly signal: string | null }> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
}
