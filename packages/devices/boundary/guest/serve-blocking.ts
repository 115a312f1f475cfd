import { readSync, writeSync } from "node:fs";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { FrameBatch, FrameParser, HELLO, NOTIFY_ID, checkBody } from "../frames.ts";
import { encodeHello, type ReportedStep } from "../hello.ts";
import { STATUS_OK, encodeError } from "../wire-error.ts";
import { printError } from "./print-error.ts";

const READ_BYTES = 64 * 1024;

export interface ServeBlockingOptions {
  readonly descriptor: number;
  readonly steps: readonly ReportedStep[];
  /** Answers one request; throwing answers with that error. `body` is overwritten by the next read: what is kept must be copied. */
  readonly handle: (op: number, body: Uint8Array) => Uint8Array;
}

/** EINTR: a foreign library may have installed a handler of signals. */
function again<T>(call: () => T): T {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if ((error as { readonly code?: string }).code !== "EINTR") throw error;
    }
  }
}

/**
 * Serves a channel on a thread that does nothing else: it waits inside read(2), not in an event loop, whose turn costs a quick
 * operation more than the reading does. Returns when the host closed the channel. @throws what the descriptor throws, and
 * DECODE_INVALID for a stream that cannot be read any further.
 */
export function serveBlocking({ descriptor, steps, handle }: ServeBlockingOptions): void {
  const input = Buffer.allocUnsafeSlow(READ_BYTES);
  const batch = new FrameBatch();
  const parser = new FrameParser();

  const flush = (): void => {
    const out = batch.take();
    for (let done = 0; done < out.length;) done += again(() => writeSync(descriptor, out, done));
    batch.release(true);
  };
  const onFrame = (id: number, op: number, body: Uint8Array): void => {
    if (id === NOTIFY_ID) throw new CasemateError("DECODE_INVALID", "a request with the id of notifications");
    try {
      const answer = handle(op, body);
      checkBody(answer);
      batch.add(id, STATUS_OK, answer);
    } catch (error) {
      if (!isCasemateError(error)) printError(error);
      const { status, body: said } = encodeError(error);
      batch.add(id, status, said);
    }
    flush(); // somebody waits at the other end, and the next call may take long
  };

  batch.add(NOTIFY_ID, HELLO, encodeHello(steps));
  flush();
  for (;;) {
    const length = again(() => readSync(descriptor, input));
    if (length === 0) return;
    parser.push(input.subarray(0, length), onFrame);
  }
}
