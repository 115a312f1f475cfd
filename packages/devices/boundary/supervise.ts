import { setTimeout as sleep } from "node:timers/promises";
import { CasemateError, asCasemateError } from "@casemate/foundation/errors";
import { launchPrepared, prepareGuest } from "./launch.ts";
import { startShortage } from "./start-process.ts";
import type { BoundaryProcess, Channel, SupervisedBoundary, SuperviseOptions } from "./types.ts";

const BACKOFF_MS = { first: 20, most: 1_000 };
/** A process that worked this long is not part of a crash loop. */
const STABLE_MS = 1_000;
/** Starts that fail one after another before the supervisor gives up. */
const MAX_FAILED_STARTS = 8;

type State =
  | { readonly at: "running"; readonly process: BoundaryProcess }
  /** `short`: what the system lacks for a new process; whoever asks is told so at once. */
  | { readonly at: "restarting"; readonly ready: PromiseWithResolvers<BoundaryProcess>; readonly short?: CasemateError }
  | { readonly at: "failed" | "stopped"; readonly reason: CasemateError };

/**
 * Keeps a boundary process alive: restarts it with exponential back-off and gives up after eight failed starts in a row. Starts for which
 * the system has no descriptors, processes or memory are no fault of the process: they do not count, and it is tried as long as that lasts.
 * @throws CasemateError of the first start, which is not repeated.
 */
export async function superviseBoundary(options: SuperviseOptions): Promise<SupervisedBoundary> {
  const listeners: ((op: number, body: Uint8Array) => void)[] = [];
  const stopping = new AbortController();
  const backoff = options.backoffMs ?? BACKOFF_MS;
  const boot = prepareGuest(options);
  let restarts = 0;
  let starting: BoundaryProcess | undefined;

  /** Whoever stops ends what is running, not what is only about to. */
  const unlessStopping = async (process: BoundaryProcess): Promise<void> => {
    if (!stopping.signal.aborted) return;
    await process.stop();
    throw stopped();
  };

  const start = async (): Promise<BoundaryProcess> => {
    const process = await launchPrepared(options, boot);
    await unlessStopping(process);
    process.channel.onNotify((op, body) => {
      for (const listener of listeners) listener(op, body);
    });
    starting = process;
    try {
      await Promise.race([options.onStart(process), process.exited.then(endedAtStart)]);
    } catch (error) {
      await process.stop();
      throw error;
    } finally {
      starting = undefined;
    }
    await unlessStopping(process);
    return process;
  };

  let state: State = { at: "running", process: await start() };

  const awaitRestart = (short?: CasemateError): void => {
    const ready = Promise.withResolvers<BoundaryProcess>();
    ready.promise.catch(() => undefined); // nobody may be waiting
    state = short === undefined ? { at: "restarting", ready } : { at: "restarting", ready, short };
  };

  /** Nobody waits for what may last for hours. */
  const tellShortage = (short: CasemateError): void => {
    if (state.at !== "restarting") return;
    const { ready } = state;
    awaitRestart(short);
    ready.reject(short);
  };

  const restart = async (waitFirst: number): Promise<BoundaryProcess> => {
    let delay = waitFirst;
    /** A shortage of hours has one line in the log. */
    let said: string | undefined;
    for (let failed = 0; ; delay = Math.min(delay * 2, backoff.most)) {
      await sleep(delay, undefined, { signal: stopping.signal });
      try {
        return await start();
      } catch (error) {
        const short = startShortage(error);
        const cause = short ?? asCasemateError(error);
        if (short === undefined || short.message !== said) options.log?.(`restart failed: ${cause.message}`);
        said = cause.message;
        if (short !== undefined && !stopping.signal.aborted) {
          tellShortage(short);
          continue;
        }
        if (state.at === "restarting" && state.short !== undefined) awaitRestart(); // that is no longer the reason
        if (++failed < MAX_FAILED_STARTS && !stopping.signal.aborted) continue;
        throw new CasemateError("DEVICE_ABSENT", `the device's process failed to start ${failed} times in a row`, {
          cause,
          hint: "See the log for the reason, then restart the server.",
        });
      }
    }
  };

  const waiting = (): PromiseWithResolvers<BoundaryProcess> | undefined =>
    state.at === "restarting" ? state.ready : undefined;

  const watch = async (): Promise<void> => {
    let delay = backoff.first;
    while (state.at === "running") {
      const started = performance.now();
      const exit = await state.process.exited;
      if (stopping.signal.aborted) return;
      restarts++;
      awaitRestart();
      options.onExit?.(exit);
      delay = performance.now() - started >= STABLE_MS ? backoff.first : delay;
      try {
        const process = await restart(delay);
        waiting()?.resolve(process);
        state = { at: "running", process };
      } catch (error) {
        const reason = stopping.signal.aborted ? stopped() : asCasemateError(error);
        waiting()?.reject(reason);
        state = { at: stopping.signal.aborted ? "stopped" : "failed", reason };
      }
      delay = Math.min(delay * 2, backoff.most);
    }
  };
  const watching = watch();

  const reason = (): CasemateError | undefined => {
    if (state.at === "restarting") return state.short;
    return state.at === "running" ? undefined : state.reason;
  };

  const channel: Channel = {
    get inFlight() {
      return state.at === "running" ? state.process.channel.inFlight : 0;
    },
    onNotify(listener) {
      listeners.push(listener);
    },
    request(op, body, requestOptions) {
      if (state.at === "running") return state.process.channel.request(op, body, requestOptions);
      if (state.at === "restarting" && state.short === undefined)
        return waitFor(state.ready.promise, requestOptions?.timeoutMs).then((process) =>
          process.channel.request(op, body, requestOptions),
        );
      return Promise.reject(reason());
    },
  };

  return {
    channel,
    get current() {
      return state.at === "running" ? state.process : undefined;
    },
    get state() {
      return state.at;
    },
    get reason() {
      return reason();
    },
    get restarts() {
      return restarts;
    },
    async stop() {
      stopping.abort();
      if (state.at === "running") {
        const { process } = state;
        state = { at: "stopped", reason: stopped() };
        await process.stop();
      }
      await starting?.stop(); // its onStart may be waiting for something that no longer comes
      await watching;
    },
  };
}

function endedAtStart(): never {
  throw new CasemateError("DEVICE_RESTARTED", "the device's process ended while it was being started");
}

function stopped(): CasemateError {
  return new CasemateError("DEVICE_ABSENT", "the device was stopped");
}

/** Waits for a restart, but no longer than the request's own limit. */
async function waitFor<T>(promise: Promise<T>, timeoutMs: number | undefined): Promise<T> {
  if (timeoutMs === undefined) return promise;
  const expired = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => expired.reject(new CasemateError("TIMEOUT", `the device was not back within ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    return await Promise.race([promise, expired.promise]);
  } finally {
    clearTimeout(timer);
  }
}
