/** The way to one token: a vendor host process, replaced when it ends, stalls or loses the token, with pauses that grow. */
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { launchUnconfined, type UnconfinedProcess } from "@casemate/devices/boundary";
import { CasemateError, asCasemateError, isCasemateError, withHint, type ErrorCode } from "@casemate/foundation/errors";
import type { ConnectionOptions } from "./connection-options.ts";
import { createLanes, type Lanes } from "./lanes.ts";
import { logIn, loginEnded, PIN_ERRORS } from "./log-in.ts";
import { PinTries } from "./pin-tries.ts";
import { createPlan, type Plan } from "./plan.ts";
import { Unanswered } from "./unanswered.ts";
import type { OperationName, ReplyOf, RequestOf } from "./wire.ts";

interface Host {
  readonly process: UnconfinedProcess;
  readonly lanes: Lanes;
  readonly facts: ReplyOf<"connect">;
  plan: Plan;
}

type State =
  | { readonly at: "up"; readonly host: Host }
  | { readonly at: "locked"; readonly host: Host; readonly reason: CasemateError }
  | { readonly at: "connecting"; readonly settled: PromiseWithResolvers<undefined> }
  | { readonly at: "absent" | "stopped"; readonly reason: CasemateError };

/** Errors of a call that say that the connection is of no use any more. */
const LOST: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["DEVICE_ABSENT", "DEVICE_LOCKED"]);
const STABLE_MS = 1_000;
const CORES = availableParallelism();

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #stopping = new AbortController();
  #state: State;
  #running: Promise<void> = Promise.resolve();
  readonly #pins: PinTries;
  readonly #unanswered: Unanswered;
  #current: UnconfinedProcess | undefined;
  #last: Pick<Host, "facts" | "plan"> | undefined;
  /** Why the process that ends was given up. */
  #lostBy: CasemateError | undefined;
  #connections = 0;
  #timeouts = 0;
  /** In vain, since there was a token. */
  #attempts = 0;

  private constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#unanswered = new Unanswered(options.log);
    this.#pins = new PinTries(options.pin, options.pinMayChange === true);
    this.#state = { at: "connecting", settled: Promise.withResolvers() };
  }

  /**
   * Resolves when the first attempt is over, whatever came of it: a token that is not there is sought on and on.
   * @throws CONFIG_INVALID when trying again would change nothing.
   */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const connection = new Connection(options);
    const first = await connection.#attempt().catch((error: unknown) => asCasemateError(error));
    if (isCasemateError(first) && first.code === "CONFIG_INVALID") throw first;
    connection.#running = connection.#keep(first);
    return connection;
  }

  get state(): "operational" | "locked" | "absent" {
    return this.#state.at === "up" ? "operational" : this.#state.at === "locked" ? "locked" : "absent";
  }

  get detail(): string | undefined {
    if (this.#state.at === "connecting") return "connecting";
    return this.#state.at === "up" ? undefined : withHint(this.#state.reason);
  }

  get counters(): Readonly<Record<string, number>> {
    const { count, inFlight } = this.#state.at === "up" ? this.#state.host.lanes : { count: 0, inFlight: 0 };
    const restarts = Math.max(0, this.#connections - 1);
    return { sessions: count, inFlight, restarts, timeouts: this.#timeouts, attempts: this.#attempts };
  }

  /** Of the last connection there was. */
  get facts(): ReplyOf<"connect"> | undefined {
    return this.#last?.facts;
  }

  get plan(): Plan | undefined {
    return this.#last?.plan;
  }

  get pid(): number | undefined {
    return this.#current?.pid;
  }

  get threads(): number {
    return this.#state.at === "up" ? this.#state.host.lanes.count : 1;
  }

  /** Threads worth using for operations that only cost this machine's time. */
  get lanesForQuick(): number {
    return Math.min(this.threads, CORES);
  }

  /** Whether every operation is of that kind. */
  get software(): boolean {
    return this.#state.at === "up" && this.#state.host.plan.quirks.software === true;
  }

  /** @throws DEVICE_LOCKED, DEVICE_ABSENT, DEVICE_RESTARTED, TIMEOUT, and what the operation throws. */
  call<N extends OperationName>(
    name: N,
    request: RequestOf<N>,
    limitMs = this.#options.limits.useMs,
    lane?: number,
  ): Promise<ReplyOf<N>> {
    return this.#state.at === "up"
      ? this.#state.host.lanes.call(name, request, limitMs, lane)
      : this.#ready(limitMs).then(({ lanes }) => lanes.call(name, request, limitMs, lane));
  }

  /** Runs what makes a key of that id; the token is made to forget it where no answer comes. @throws what `call` throws. */
  async making<T>(make: (id: Uint8Array) => Promise<T>): Promise<T> {
    // What never gets to a token is not to be sought there.
    if (this.#state.at !== "up") await this.#ready(this.#options.limits.useMs);
    try {
      return await this.#unanswered.making(make);
    } catch (error) {
      // A second chance where the vendor host could not undo it; what ends the connection is seen to at the next one.
      if (this.#state.at === "up" && this.#unanswered.any)
        await this.#takeBack(this.#state.host).catch(() => undefined);
      throw error;
    }
  }

  #takeBack({ lanes }: Host): Promise<void> {
    const { connectMs } = this.#options.limits;
    return this.#unanswered.takeBack(async (id) => (await lanes.call("takeBack", { id }, connectMs, 0)).objects);
  }

  /** The same on every thread but the first. */
  async tellOthers<N extends OperationName>(name: N, request: RequestOf<N>): Promise<void> {
    const others = Array.from({ length: this.threads - 1 }, (_, index) => index + 1);
    await Promise.all(others.map((lane) => this.call(name, request, undefined, lane)));
  }

  /** @throws DEVICE_ABSENT */
  async challenge(): Promise<ReplyOf<"challenge">> {
    const host = await this.#lockable();
    return host.lanes.call("challenge", {}, this.#options.limits.connectMs, 0);
  }

  /** @throws PIN_WRONG, PIN_LOCKED, BAD_REQUEST */
  async unlock(sealed: Uint8Array): Promise<void> {
    const host = await this.#lockable();
    if (this.#state.at === "up") return;
    const { keeper, limits } = this.#options;
    let kept: Uint8Array | undefined;
    try {
      if (keeper === undefined) await host.lanes.call("unlock", { sealed }, limits.connectMs, 0);
      else {
        const request = { sealed, recipient: await keeper.recipient(), label: keeper.label };
        kept = (await host.lanes.call("unlockKeeping", request, limits.connectMs, 0)).pin.slice();
      }
    } catch (error) {
      const reason = asCasemateError(error);
      if (PIN_ERRORS.has(reason.code)) this.#become({ at: "locked", host, reason });
      else if (LOST.has(reason.code)) this.#end(host.process, reason);
      throw reason;
    }
    this.#pins.unlockedByPerson();
    try {
      if (kept !== undefined) await keeper?.keep(kept).then(() => this.#pins.kept());
      await this.#begin(host);
    } catch (error) {
      // It is logged in, and would take any PIN for the right one.
      this.#end(host.process, asCasemateError(error));
      throw error;
    }
  }

  /**
   * Ends the login, by ending the process that holds it.
   * @throws DEVICE_ABSENT when there is nothing to lock; it stays locked all the same when it comes back.
   */
  async lock(): Promise<void> {
    this.#pins.lockedByPerson();
    // A PIN may be on its way to a token that was just found.
    await this.#settled(this.#options.limits.connectMs);
    if (this.#state.at === "locked") return;
    if (this.#state.at !== "up") {
      const { message, cause, hint } = this.#absent();
      throw new CasemateError("DEVICE_ABSENT", `there is nothing to lock: ${message}`, {
        ...(cause === undefined ? {} : { cause }),
        hint: `${hint} When it comes back it stays locked until somebody unlocks it.`,
      });
    }
    const reason = new CasemateError("DEVICE_LOCKED", "the token was locked", { hint: "Unlock it with its PIN." });
    this.#end(this.#state.host.process, reason);
    await this.#lockable().catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const reason = new CasemateError("DEVICE_ABSENT", "the device was closed");
    const before = this.#state;
    this.#state = { at: "stopped", reason };
    if (before.at === "connecting") before.settled.resolve(undefined);
    if (before.at === "up" || before.at === "locked") before.host.lanes.end();
    await this.#current?.stop();
    await this.#running;
    this.#pins.forget();
  }

  #become(state: State, detail = ""): void {
    if (this.#stopping.signal.aborted) return;
    const before = this.#state;
    this.#state = state;
    if (before.at === "connecting") before.settled.resolve(undefined);
    if (state.at === "up") this.#options.onState("operational", detail);
    if (state.at === "locked") this.#options.onState("locked", state.reason.message);
    if (state.at === "absent") this.#options.onState("absent", state.reason.message);
  }

  /** The host in working order; waits for an attempt that is under way, but no longer than the call may take. */
  async #ready(limitMs: number): Promise<Host> {
    await this.#settled(limitMs);
    const state = this.#state;
    if (state.at === "up") return state.host;
    if (state.at === "locked")
      throw new CasemateError("DEVICE_LOCKED", `the token is locked: ${state.reason.message}`, {
        cause: state.reason,
        hint: state.reason.hint ?? "Unlock it with its PIN.",
      });
    throw this.#absent();
  }

  async #lockable(): Promise<Host> {
    await this.#settled(this.#options.limits.connectMs);
    if (this.#state.at === "up" || this.#state.at === "locked") return this.#state.host;
    throw this.#absent();
  }

  #absent(): CasemateError {
    const cause = "reason" in this.#state ? this.#state.reason : undefined;
    return new CasemateError("DEVICE_ABSENT", `the token cannot be reached: ${cause?.message ?? "still connecting"}`, {
      ...(cause === undefined ? {} : { cause }),
      hint: `${cause?.hint === undefined ? "" : `${cause.hint} `}Casemate keeps trying.`,
    });
  }

  async #settled(limitMs: number): Promise<void> {
    const until = performance.now() + limitMs;
    while (this.#state.at === "connecting") {
      const left = until - performance.now();
      if (left <= 0) throw new CasemateError("TIMEOUT", `the device was not back within ${limitMs} ms`);
      const waiting = new AbortController();
      await Promise.race([
        this.#state.settled.promise,
        sleep(left, undefined, { signal: waiting.signal }).catch(() => undefined),
      ]);
      waiting.abort();
    }
  }

  #lose(process: UnconfinedProcess, reason: CasemateError): void {
    if (this.#state.at !== "up" || this.#state.host.process !== process) return;
    this.#options.log?.(`lost the token: ${reason.message}`);
    this.#lostBy = reason;
    this.#end(process, reason.code === "DEVICE_LOCKED" ? loginEnded(reason) : reason);
  }

  #end(process: UnconfinedProcess, reason: CasemateError): void {
    this.#ended(process);
    process.kill(reason);
  }

  /** Whoever asks from now on waits for the next process. */
  #ended(process: UnconfinedProcess): void {
    const state = this.#state;
    if ((state.at === "up" || state.at === "locked") && state.host.process === process)
      this.#become({ at: "connecting", settled: Promise.withResolvers() });
  }

  /** Starts a process and brings it as far as it goes: to work, or to waiting for a PIN. */
  async #attempt(): Promise<Host> {
    const { entry, addon, module, token, threads, environment, limits, log } = this.#options;
    const process = await launchUnconfined({
      entry,
      channels: threads,
      environment,
      ...(log === undefined ? {} : { log }),
    });
    this.#current = process;
    void process.exited.then(() => this.#ended(process));
    const lanes = createLanes(process, {
      onStall: (error) => {
        this.#timeouts++;
        this.#ended(process);
        process.kill(new CasemateError("DEVICE_RESTARTED", error.message, { hint: "Try again." }));
      },
      onFailure: (error) => {
        if (isCasemateError(error) && LOST.has(error.code)) this.#lose(process, error);
      },
    });
    try {
      this.#stopping.signal.throwIfAborted();
      const facts = await lanes.call("connect", { addon, module, token, threads }, limits.connectMs, 0);
      const host: Host = { process, lanes, facts, plan: createPlan(facts.plan) };
      this.#last = host;
      this.#connections++;
      this.#attempts = 0;
      const reason = facts.loginRequired ? await logIn(lanes, this.#pins, facts.pin, limits.connectMs) : undefined;
      if (reason === undefined) await this.#begin(host);
      else this.#become({ at: "locked", host, reason });
      return host;
    } catch (error) {
      lanes.end();
      process.kill(asCasemateError(error));
      await process.exited;
      throw error;
    }
  }

  /** After the login: finds out what works, and lets the other threads in. */
  async #begin(host: Host): Promise<void> {
    const { addon, module, token, limits } = this.#options;
    const { slot, threads } = host.facts;
    const plan = await host.lanes.call("probe", {}, limits.connectMs, 0);
    const others = Array.from({ length: threads - 1 }, (_, index) => index + 1);
    await Promise.all(
      others.map((lane) => host.lanes.call("attach", { addon, module, token, slot, plan }, limits.connectMs, lane)),
    );
    await this.#takeBack(host);
    host.lanes.use(threads);
    host.plan = createPlan(plan);
    this.#last = host;
    this.#become({ at: "up", host }, `connected to ${token}`);
  }

  /** Lives as long as the device: replaces what ended. */
  async #keep(first: Host | CasemateError): Promise<void> {
    const { backoffMs, log } = this.#options;
    const { signal } = this.#stopping;
    let outcome = first;
    /** A token that is sought for days has one line for each reason. */
    let said: string | undefined;
    let delay = backoffMs.first;
    while (!signal.aborted) {
      if (isCasemateError(outcome)) {
        this.#attempts++;
        if (outcome.message !== said) log?.(`cannot connect: ${outcome.message}`);
        said = outcome.message;
        this.#become({ at: "absent", reason: outcome });
      } else {
        said = undefined;
        const since = performance.now();
        await this.#watch(outcome);
        if (signal.aborted) return;
        if (performance.now() - since >= STABLE_MS) delay = backoffMs.first;
        this.#options.onState("absent", this.#lostBy?.message ?? "the vendor host ended; connecting again");
        this.#lostBy = undefined;
      }
      await sleep(delay, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      delay = Math.min(delay * 2, backoffMs.most);
      outcome = await this.#attempt().catch((error: unknown) => asCasemateError(error));
    }
  }

  /** The next process begins with the PIN that is there now, and asks the token first how many tries it still bears. */
  async #seekPin({ process }: Host): Promise<void> {
    if (!(await this.#pins.changed()) || this.#state.at !== "locked" || this.#state.host.process !== process) return;
    this.#lostBy = new CasemateError("DEVICE_LOCKED", "the PIN file was corrected; connecting again with its PIN");
    this.#options.log?.(this.#lostBy.message);
    this.#end(process, this.#lostBy);
  }

  /** Resolves when the process is gone; asks now and then whether the token still is, or its PIN is there now. */
  async #watch(host: Host): Promise<void> {
    const { healthEveryMs, limits } = this.#options;
    const timer = setInterval(() => {
      if (this.#state.at === "locked") void this.#seekPin(host);
      if (this.#state.at !== "up" || host.lanes.firstBusy) return;
      host.lanes
        .call("health", {}, limits.useMs, 0)
        .catch((error: unknown) => this.#lose(host.process, asCasemateError(error)));
    }, healthEveryMs);
    timer.unref();
    await host.process.exited;
    clearInterval(timer);
    host.lanes.end();
  }
}
