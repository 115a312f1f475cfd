// A supervised process for code that must load foreign native libraries: what a crash or a stall needs, without confinement.
import type { Duplex, Readable } from "node:stream";
import { CasemateError, asCasemateError } from "@casemate/foundation/errors";
import { createChannel, type OwnedChannel } from "./channel.ts";
import { HELLO } from "./frames.ts";
import { captureLines, describeExit, watchExit } from "./launch.ts";
import { startProcess } from "./start-process.ts";
import type { Channel } from "./types.ts";

const FIRST_CHANNEL_FD = 3;
const START_LIMIT_MS = 15_000;
const STOP_LIMIT_MS = 2_000;
const KEPT_LINES = 8;

export interface UnconfinedOptions {
  /** Absolute path of the module to run. It serves one channel on each descriptor from 3 on. */
  readonly entry: string;
  /** Channels, at least 1. Their number is the process's first argument. */
  readonly channels: number;
  /** The whole environment of the process. */
  readonly environment: Readonly<Record<string, string>>;
  /** Gets each line the process prints, cut short. Default: dropped. */
  readonly log?: (line: string) => void;
}

export interface UnconfinedProcess {
  readonly pid: number;
  readonly channels: readonly Channel[];
  /** Resolves once, when the process is gone. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  /** Ends it at once; requests in flight reject with `reason`. */
  kill(reason: CasemateError): void;
  stop(): Promise<void>;
}

/**
 * Starts `entry` in a process of its own: own session, no foreign descriptors, ended with its parent, nothing else
 * forbidden. Resolves when every channel has said hello.
 * @throws CasemateError DEVICE_FAILED when the process ends first, TIMEOUT when it says nothing, UNAVAILABLE when the system starts none at present.
 */
export async function launchUnconfined(options: UnconfinedOptions): Promise<UnconfinedProcess> {
  const child = await startProcess({
    args: ["--no-warnings", "--disable-sigusr1", options.entry, String(options.channels)],
    firstForeign: FIRST_CHANNEL_FD + options.channels,
    env: options.environment,
    stdio: ["ignore", "pipe", "pipe", ...Array.from({ length: options.channels }, () => "pipe" as const)],
  });
  const lastLines: string[] = [];
  const keep = (line: string): void => {
    if (lastLines.push(line) > KEPT_LINES) lastLines.shift();
    options.log?.(line);
  };
  captureLines(child.stdout as Readable, keep);
  captureLines(child.stderr as Readable, keep);

  const kill = (reason: CasemateError): void => {
    for (const channel of channels) channel.close(reason);
    child.kill("SIGKILL");
  };
  const channels: OwnedChannel[] = child.stdio.slice(FIRST_CHANNEL_FD).map((socket) =>
    createChannel(socket as Duplex, (error) => {
      keep(`channel: ${asCasemateError(error.cause).message}`);
      kill(error);
    }),
  );
  const exited = watchExit(child).then((exit) => {
    const reason = new CasemateError(
      "DEVICE_RESTARTED",
      `the device's process ended (${describeExit(exit.code, exit.signal)})`,
      { hint: "Try again." },
    );
    for (const channel of channels) channel.close(reason);
    return exit;
  });

  const ready = Promise.withResolvers<undefined>();
  const greeted = new Set<OwnedChannel>();
  for (const channel of channels) {
    channel.onNotify((op) => {
      if (op === HELLO && greeted.add(channel).size === channels.length) ready.resolve(undefined);
    });
  }
  void exited.then(({ code, signal }) => {
    const last = lastLines.length > 0 ? `: ${lastLines.join(" | ")}` : "";
    ready.reject(
      new CasemateError("DEVICE_FAILED", `the device's process ended at start (${describeExit(code, signal)})${last}`),
    );
  });
  const timer = setTimeout(() => {
    const late = new CasemateError("TIMEOUT", `the device's process did not start within ${START_LIMIT_MS} ms`);
    ready.reject(late);
    kill(late);
  }, START_LIMIT_MS);
  await ready.promise.finally(() => clearTimeout(timer));

  return {
    pid: child.pid as number,
    channels,
    exited,
    kill,
    async stop() {
      child.kill("SIGTERM");
      const forced = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
      await exited;
      clearTimeout(forced);
    },
  };
}
