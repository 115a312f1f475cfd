import type { Duplex } from "node:stream";
import { CasemateError } from "@casemate/foundation/errors";
import { FrameBatch, FrameParser, NOTIFY_ID, checkBody } from "./frames.ts";
import type { Channel } from "./types.ts";
import { STATUS_OK, decodeError } from "./wire-error.ts";

interface Pending {
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: CasemateError) => void;
  readonly timeoutMs: number;
  /** On the clock of performance.now; Infinity without a limit. */
  readonly deadline: number;
}

const MAX_ID = 0xffffffff;

/** A channel that its owner can close. */
export interface OwnedChannel extends Channel {
  /** Rejects everything in flight, and every later request, with `reason`. */
  close(reason: CasemateError): void;
}

/**
 * Host half of the channel. `onBroken` is called once when the guest breaks the format: such a process is not to be
 * trusted any more and must be ended.
 */
export function createChannel(socket: Duplex, onBroken: (error: CasemateError) => void): OwnedChannel {
  const pending = new Map<number, Pending>();
  const abandoned = new Set<number>();
  const listeners: ((op: number, body: Uint8Array) => void)[] = [];
  const batch = new FrameBatch();
  const parser = new FrameParser();
  let closed: CasemateError | undefined;
  let lastId = 0;
  let flushing = false;
  /** What waits to be sent holds a secret. */
  let secret = false;
  /** One timer for all requests, at the earliest deadline that there was: most are answered long before theirs. */
  let timer: NodeJS.Timeout | undefined;
  let wakeAt = Infinity;

  const watch = (deadline: number): void => {
    if (deadline >= wakeAt) return;
    clearTimeout(timer);
    wakeAt = deadline;
    timer = setTimeout(expire, deadline - performance.now());
  };

  const expire = (): void => {
    wakeAt = Infinity;
    const now = performance.now();
    let next = Infinity;
    for (const [id, { deadline, timeoutMs, reject }] of pending) {
      if (deadline > now) {
        next = Math.min(next, deadline);
        continue;
      }
      pending.delete(id);
      abandoned.add(id);
      reject(new CasemateError("TIMEOUT", `no answer from the boundary process within ${timeoutMs} ms`));
    }
    watch(next);
  };

  const nextId = (): number => {
    do lastId = lastId === MAX_ID ? 1 : lastId + 1;
    while (pending.has(lastId) || abandoned.has(lastId));
    return lastId;
  };

  const flush = (): void => {
    flushing = false;
    if (closed !== undefined || batch.length === 0) return;
    if (secret) return flushSecret();
    socket.write(batch.take());
    batch.release(socket.writableLength === 0);
  };

  const flushSecret = (): void => {
    secret = false;
    const sent = batch.take();
    socket.write(sent, () => sent.fill(0));
    // The buffer is still to be overwritten: another one takes what comes next.
    batch.release(false);
  };

  const settle = (id: number, status: number, body: Uint8Array): void => {
    const entry = pending.get(id);
    if (entry === undefined) {
      // A late answer to a request that timed out is honest; an answer to nothing is not.
      if (abandoned.delete(id)) return;
      throw new CasemateError("DECODE_INVALID", `a reply to request ${id}, which is not in flight`);
    }
    if (status === STATUS_OK) {
      pending.delete(id);
      entry.resolve(body);
      return;
    }
    const error = decodeError(status, body);
    pending.delete(id);
    entry.reject(error);
  };

  const onFrame = (id: number, code: number, body: Uint8Array): void => {
    if (id !== NOTIFY_ID) return settle(id, code, body);
    for (const listener of listeners) listener(code, body);
  };

  const close = (reason: CasemateError): void => {
    if (closed !== undefined) return;
    closed = reason;
    clearTimeout(timer);
    for (const { reject } of pending.values()) reject(reason);
    pending.clear();
    abandoned.clear();
    socket.destroy();
  };

  socket.on("data", (chunk: Buffer) => {
    if (closed !== undefined) return;
    try {
      parser.push(chunk, onFrame);
    } catch (cause) {
      onBroken(
        new CasemateError("DEVICE_RESTARTED", "the device's process broke the channel's format and was ended", {
          cause,
          hint: "Try again; if it happens again, the log has the details.",
        }),
      );
    }
  });
  socket.on("error", () => undefined); // the process's exit tells more than EPIPE does

  return {
    get inFlight() {
      return pending.size;
    },
    onNotify(listener) {
      listeners.push(listener);
    },
    close,
    request(op, body, options) {
      if (closed !== undefined) return Promise.reject(closed);
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
      try {
        checkBody(body);
        const id = nextId();
        batch.add(id, op, body);
        if (options?.secret === true) secret = true;
        const timeoutMs = options?.timeoutMs ?? Infinity;
        const deadline = performance.now() + timeoutMs;
        watch(deadline);
        pending.set(id, { resolve, reject, timeoutMs, deadline });
      } catch (error) {
        reject(error);
        return promise;
      }
      if (!flushing) {
        flushing = true;
        // A device that waits for work gets it at once. While it works, all that comes in this turn shares a write.
        if (pending.size === 1) process.nextTick(flush);
        else setImmediate(flush);
      }
      return promise;
    },
  };
}
