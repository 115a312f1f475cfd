// How a process of Casemate's own is started, and what it means where the system refuses.
import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { CasemateError, shortageOf } from "@casemate/foundation/errors";
import { startPrelude } from "@casemate/foundation/ffi";

const NOT_STARTED = "the device's process cannot be started";

/** The error, when a start failed because the system is short of something. */
export function startShortage(error: unknown): CasemateError | undefined {
  return shortageOf(error, NOT_STARTED);
}

function cannotStart(cause: unknown): CasemateError {
  return (
    startShortage(cause) ??
    new CasemateError("DEVICE_FAILED", `${NOT_STARTED}: ${(cause as Error).message}`, {
      hint: `Check that ${process.execPath} is there and may be run.`,
      cause,
    })
  );
}

export interface StartOptions {
  readonly args: readonly string[];
  /** The first descriptor that is not passed on. */
  readonly firstForeign: number;
  /** The whole environment of the process. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdio: StdioOptions;
}

/**
 * Starts Node in a session of its own: Ctrl-C in a terminal reaches the server, which then ends its processes in order.
 * @throws CasemateError UNAVAILABLE when the system is short of descriptors, processes or memory, DEVICE_FAILED for any other reason.
 */
export async function startProcess({ args, firstForeign, env, stdio }: StartOptions): Promise<ChildProcess> {
  const prelude = startPrelude();
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, prelude.available ? prelude.argumentsFor(firstForeign, args) : args, {
      env: { ...env },
      cwd: "/",
      detached: true,
      stdio,
    });
  } catch (cause) {
    throw cannotStart(cause);
  }
  // Node throws some refusals and tells others by an event, then without streams: nothing may be asked of such a child.
  if (child.pid === undefined) {
    const [cause] = (await once(child, "error")) as [Error];
    throw cannotStart(cause);
  }
  child.on("error", () => undefined); // a signal that could not be sent; its exit tells the rest
  return child;
}
