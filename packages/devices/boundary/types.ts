/** The host's half of a boundary process, as drivers and the composition root see it. */
import type { IsolationStep } from "@casemate/devices/contract";
import type { CasemateError } from "@casemate/foundation/errors";

export interface RequestOptions {
  readonly timeoutMs?: number;
  /** The body holds a secret: what the channel copied of it is overwritten once it was sent. The body itself is its owner's. */
  readonly secret?: boolean;
}

/** One pipelined connection of framed requests. Frame: u32 length (of the rest) | u32 id | u8 op-or-status | body, big-endian. */
export interface Channel {
  /** Sends and resolves with the reply's body. A non-zero status byte rejects with the CasemateError it encodes. Rejects DEVICE_RESTARTED when the process ends first. */
  request(op: number, body: Uint8Array, options?: RequestOptions): Promise<Uint8Array>;
  /** Frames with id 0, started by the boundary. */
  onNotify(listener: (op: number, body: Uint8Array) => void): void;
  readonly inFlight: number;
}

export interface LaunchOptions {
  /** Absolute path of the guest's entry module; its unit is bundled or granted for reading, nothing else. */
  readonly entry: string;
  /** Descriptors of the host passed on as 4, 5, … (the channel is 3). */
  readonly descriptors?: readonly number[];
  /** Power of two; 0 for none. */
  readonly secureHeapBytes: number;
  /** For tests only: a seed for the guest's random source, accepted only by guests built for tests. */
  readonly testSeed?: Uint8Array;
  /** Gets each line the guest prints (diagnostics, cut short). Default: dropped. */
  readonly log?: (line: string) => void;
}

export interface BoundaryProcess {
  readonly pid: number;
  readonly channel: Channel;
  /** What holds on this machine, found by trying. */
  readonly isolation: readonly IsolationStep[];
  /** Resolves once, when the process is gone. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  stop(): Promise<void>;
}

export interface SuperviseOptions extends LaunchOptions {
  /** Brings a new process to work (unlock, load state). Requests through the supervised channel wait until it resolves. */
  onStart(process: BoundaryProcess): Promise<void>;
  /** Pause before the first restart and the longest one; it doubles while starts fail or processes die young. */
  readonly backoffMs?: { readonly first: number; readonly most: number };
  /** Told after each end that was not asked for. */
  onExit?(exit: { readonly code: number | null; readonly signal: string | null }): void;
}

export interface SupervisedBoundary {
  /**
   * Survives restarts. What was in flight when the process ended rejects DEVICE_RESTARTED; while a new process starts,
   * requests wait; while the system has nothing to start one with they reject UNAVAILABLE, and after the supervisor gave up or was stopped
   * DEVICE_ABSENT. Notifications come from every process in turn.
   */
  readonly channel: Channel;
  /** The process that answers now; undefined between two. */
  readonly current: BoundaryProcess | undefined;
  readonly state: "running" | "restarting" | "failed" | "stopped";
  /** With what requests are refused now; undefined when they are answered, or wait. */
  readonly reason: CasemateError | undefined;
  /** Unasked ends so far. */
  readonly restarts: number;
  stop(): Promise<void>;
}
