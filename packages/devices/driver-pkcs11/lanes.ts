/** The vendor host's threads as one door: each request goes to the idlest, and a module that stalls is found out. */
import type { UnconfinedProcess } from "@casemate/devices/boundary";
import { CasemateError } from "@casemate/foundation/errors";
import { Awake } from "@casemate/foundation/processors";
import { decodeReply, encodeRequest, OPERATIONS, type OperationName, type ReplyOf, type RequestOf } from "./wire.ts";

const LOOK_EVERY_MS = 100;

interface Pending {
  readonly limitMs: number;
  late: boolean;
}

interface Lane {
  readonly request: UnconfinedProcess["channels"][number]["request"];
  /** Oldest first: a thread answers one request after the other. */
  readonly queue: Pending[];
  headSince: number;
}

export interface Lanes {
  /** On the given thread, or on the one with the least to do. @throws TIMEOUT after `limitMs` of work on this request alone. */
  call<N extends OperationName>(name: N, request: RequestOf<N>, limitMs: number, lane?: number): Promise<ReplyOf<N>>;
  /** Threads in use; 1 until `use`. */
  readonly count: number;
  use(count: number): void;
  readonly inFlight: number;
  /** Requests that wait for the first thread. */
  readonly firstBusy: boolean;
  end(): void;
}

export interface LanesOptions {
  /** Called once, when the module has kept a thread longer than a request may take. */
  readonly onStall: (error: CasemateError) => void;
  /** Called for every request that fails, before its caller hears of it. */
  readonly onFailure: (error: unknown) => void;
}

export function createLanes(host: UnconfinedProcess, { onStall, onFailure }: LanesOptions): Lanes {
  const lanes = host.channels.map((channel): Lane => ({
    request: channel.request.bind(channel),
    queue: [],
    headSince: 0,
  }));
  let used = 1;
  /** Only the processors: a loop that does not sleep would take one from the threads. */
  const awake = new Awake({ places: 0 });

  const timer = setInterval(() => {
    const now = performance.now();
    for (const { queue, headSince } of lanes) {
      const [head] = queue;
      if (head === undefined || now - headSince < head.limitMs) continue;
      head.late = true;
      clearInterval(timer);
      onStall(timeout(head.limitMs));
      return;
    }
  }, LOOK_EVERY_MS);
  timer.unref();

  const idlest = (): Lane => {
    let best = lanes[0] as Lane;
    for (let i = 1; i < used; i++) {
      const lane = lanes[i] as Lane;
      if (lane.queue.length < best.queue.length) best = lane;
    }
    return best;
  };

  return {
    get count() {
      return used;
    },
    use(count) {
      used = Math.max(1, Math.min(count, lanes.length));
    },
    get inFlight() {
      return lanes.reduce((sum, { queue }) => sum + queue.length, 0);
    },
    get firstBusy() {
      return lanes[0] !== undefined && lanes[0].queue.length > 0;
    },
    end() {
      clearInterval(timer);
      awake.close();
    },
    async call(name, request, limitMs, at) {
      const lane = at === undefined ? idlest() : (lanes[at] as Lane);
      const body = encodeRequest(name, request);
      const pending: Pending = { limitMs, late: false };
      awake.asked(lane);
      if (lane.queue.length === 0) lane.headSince = performance.now();
      lane.queue.push(pending);
      let reply: Uint8Array;
      try {
        reply = await lane.request(OPERATIONS[name].op, body);
      } catch (error) {
        const told = pending.late ? timeout(limitMs) : error;
        onFailure(told);
        throw told;
      } finally {
        if (lane.queue[0] === pending) lane.queue.shift();
        else lane.queue.splice(lane.queue.indexOf(pending), 1);
        lane.headSince = performance.now();
        awake.answered();
      }
      try {
        return decodeReply(name, reply);
      } catch (cause) {
        throw new CasemateError("DEVICE_FAILED", `the vendor host's answer to ${name} cannot be read`, { cause });
      }
    },
  };
}

const timeout = (limitMs: number): CasemateError =>
  new CasemateError("TIMEOUT", `the PKCS#11 module did not answer within ${limitMs} ms; its process was replaced`, {
    hint: "Try again; when it happens again, the network to the HSM or its maker's log may say why.",
  });
