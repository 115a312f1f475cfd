/** The host half of session keys: starts their process with the first key, and says when it took its keys with it. */
import { launchBoundary, type BoundaryProcess } from "@casemate/devices/boundary";
import type { IsolationStep } from "@casemate/devices/contract";
import { decode, encode, type Codec } from "@casemate/foundation/codec";
import { CasemateError } from "@casemate/foundation/errors";
import { OPERATIONS, type OperationName, type ReplyOf, type RequestOf } from "@casemate/protocols/session-keys";

/** Longer than an RSA key of 4096 bits takes on a busy machine. */
const TIME_LIMIT_MS = 120_000;

/** Requests that carry a value. */
const IMPORTS: ReadonlySet<OperationName> = new Set<OperationName>([
  "importSecret",
  "importRsa",
  "importCurve",
  "importPkcs8",
]);

/** What a process that holds nothing yet can do: everything else is about a key that went with an earlier one. */
const BEGINNINGS: ReadonlySet<OperationName> = new Set<OperationName>([
  ...IMPORTS,
  "generateSecret",
  "generateRsa",
  "generateCurve",
]);

export interface SessionKeysOptions {
  /** Absolute path of the guest's main module. */
  readonly entry: string;
  /** Gets the process's diagnostics. */
  readonly log?: (line: string) => void;
  /** Told of each process that was started. */
  readonly started?: (process: { readonly pid: number; readonly isolation: readonly IsolationStep[] }) => void;
}

export interface SessionKeyProcess {
  /**
   * One request. The first that makes a key starts the process.
   * @throws NOT_FOUND for a key that is not there (any more), DEVICE_RESTARTED for what was under way when the process ended,
   * DEVICE_FAILED, TIMEOUT when it does not start or answer, UNAVAILABLE when the system starts none at present.
   */
  call<N extends OperationName>(name: N, request: RequestOf<N>): Promise<ReplyOf<N>>;
  /** Called when a process ended unasked: its keys are gone. */
  onLost(listener: () => void): void;
  /** The running process, if there is one. */
  readonly pid: number | undefined;
  close(): Promise<void>;
}

/** Nothing is started before the first key. */
export function openSessionKeys(options: SessionKeysOptions): SessionKeyProcess {
  const listeners: (() => void)[] = [];
  let starting: Promise<BoundaryProcess> | undefined;
  let running: BoundaryProcess | undefined;
  let closed = false;

  const launch = async (): Promise<BoundaryProcess> => {
    const process = await launchBoundary({
      entry: options.entry,
      // Values are kept as bytes, too, which no secure heap covers: it would promise what it does not hold.
      secureHeapBytes: 0,
      ...(options.log === undefined ? {} : { log: options.log }),
    });
    running = process;
    options.started?.(process);
    void process.exited.then(() => {
      running = undefined;
      starting = undefined;
      if (closed) return;
      options.log?.("the process of the session keys ended, and they with it");
      for (const listener of listeners) listener();
    });
    return process;
  };

  const begun = (): Promise<BoundaryProcess> => {
    if (closed) return Promise.reject(new CasemateError("DEVICE_ABSENT", "session keys were closed"));
    starting ??= launch().catch((error: unknown) => {
      starting = undefined;
      throw error;
    });
    return starting;
  };

  return {
    async call(name, request) {
      const operation = OPERATIONS[name];
      const body = encode(operation.request as Codec<unknown>, request);
      const process = running ?? (BEGINNINGS.has(name) || starting !== undefined ? await begun() : undefined);
      if (process === undefined)
        throw new CasemateError("NOT_FOUND", "there is no such session key", {
          hint: "The process of the session keys was restarted; make the key again.",
        });
      const secret = IMPORTS.has(name);
      const answer = process.channel.request(operation.op, body, { timeoutMs: TIME_LIMIT_MS, secret });
      if (secret) body.fill(0);
      const reply = await answer;
      try {
        return decode(operation.reply as Codec<unknown>, reply) as never;
      } catch (cause) {
        throw new CasemateError("DEVICE_FAILED", `the answer to ${name} cannot be read`, { cause });
      }
    },
    onLost(listener) {
      listeners.push(listener);
    },
    get pid() {
      return running?.pid;
    },
    async close() {
      closed = true;
      const process = await starting?.catch(() => undefined);
      await process?.stop();
    },
  };
}
