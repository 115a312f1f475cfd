import { Socket } from "node:net";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { FrameBatch, FrameParser, HELLO, NOTIFY_ID, checkBody } from "../frames.ts";
import { encodeHello, type ReportedStep } from "../hello.ts";
import { STATUS_OK, encodeError } from "../wire-error.ts";
import { printError } from "./print-error.ts";

const CHANNEL_FD = 3;
const EXIT_UNCAUGHT = 70;
/** Replies of synchronous handlers wait for the end of the read, but no longer than this. */
const MAX_HOLD_MS = 0.3;

export interface ServeOptions {
  /**
   * Answers one request. Throwing or rejecting answers with that error. Synchronous results are batched into one
   * write; slow work (RSA, key generation) returns a promise and must not block the event loop.
   * `body` is a view that is valid until the handler returns or its promise settles.
   */
  handle(op: number, body: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** What `hardenGuest` found; sent to the host as the first message. */
  readonly steps: readonly ReportedStep[];
}

/** Set by `serveGuest`. */
let serving: ((op: number, body: Uint8Array) => void) | undefined;

/** Sends an unasked message to the host. `op` is 0 to 254. @throws TypeError before `serveGuest` was called. */
export function notifyHost(op: number, body: Uint8Array): void {
  if (serving === undefined) throw new TypeError("notifyHost needs serveGuest first");
  serving(op, body);
}

/** Serves the channel until the host closes it; the process then ends. */
export function serveGuest(options: ServeOptions): void {
  const socket = new Socket({ fd: CHANNEL_FD, readable: true, writable: true });
  const batch = new FrameBatch();
  const parser = new FrameParser();
  let heldSince = 0;
  let scheduled = false;

  const flush = (): void => {
    scheduled = false;
    if (batch.length === 0) return;
    socket.write(batch.take());
    batch.release(socket.writableLength === 0);
  };
  const flushSoon = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  };
  const reply = (id: number, body: Uint8Array): void => {
    try {
      checkBody(body);
      batch.add(id, STATUS_OK, body);
    } catch (error) {
      fail(id, error);
    }
  };
  const fail = (id: number, error: unknown): void => {
    if (!isCasemateError(error)) printError(error);
    const { status, body } = encodeError(error);
    batch.add(id, status, body);
  };

  const onFrame = (id: number, op: number, body: Uint8Array): void => {
    if (id === NOTIFY_ID) throw new CasemateError("DECODE_INVALID", "a request with the id of notifications");
    let result: Uint8Array | Promise<Uint8Array>;
    try {
      result = options.handle(op, body);
    } catch (error) {
      fail(id, error);
      return;
    }
    if (result instanceof Promise) {
      result.then(
        (value) => {
          reply(id, value);
          flushSoon();
        },
        (error: unknown) => {
          fail(id, error);
          flushSoon();
        },
      );
      return;
    }
    reply(id, result);
    const now = performance.now();
    if (now - heldSince > MAX_HOLD_MS) {
      flush();
      heldSince = now;
    }
  };

  socket.on("data", (chunk: Buffer) => {
    heldSince = performance.now();
    try {
      parser.push(chunk, onFrame);
    } catch (error) {
      printError(error);
      process.exit(1); // the host's stream cannot be read any further
    }
    flush();
  });
  socket.on("error", () => process.exit(0));
  socket.on("end", () => process.exit(0));

  // An error nobody caught means unknown state: end, and let the supervisor start afresh.
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      printError(error);
      process.exit(EXIT_UNCAUGHT);
    });
  }

  const notify = (op: number, body: Uint8Array): void => {
    checkBody(body);
    batch.add(NOTIFY_ID, op, body);
    flushSoon();
  };
  notify(HELLO, encodeHello(options.steps));
  serving = notify;
}
