// Implements: p11-kit RPC over one stream: version byte, then requests that run side by side and are answered as they finish.
import type { Socket } from "node:net";
import { Writer } from "@casemate/foundation/codec";
import { asCasemateError, CasemateError, isCasemateError } from "@casemate/foundation/errors";
import {
  CKR,
  decodeRequest,
  FRAME_HEADER,
  FrameReader,
  NEWEST_VERSION,
  rpcVersion,
  writeErrorReply,
  writeReply,
  type CallRow,
  type Frame,
  type RpcVersion,
} from "@casemate/protocols/p11-rpc";
import { Application, type Shared } from "./application.ts";
import { HANDLERS } from "./handlers.ts";
import { returnValue } from "./status.ts";

/** Requests of one connection that may wait for their answers; more are not read until some are done. */
const MAX_IN_FLIGHT = 256;
/** Answers kept for a client that does not read before we stop reading from it. */
const MAX_UNSENT = 4 * 1024 * 1024;

/** Bytes of unfinished requests that all connections together hold; who goes beyond is cut off. */
const MAX_HELD = 128 * 1024 * 1024;
/** What a client may send before C_Initialize, which is short. */
const MAX_UNKNOWN = 64 * 1024;

/** A larger buffer is not kept. */
const KEEP_BYTES = 64 * 1024;

type AnyHandler = (application: Application, ...values: readonly unknown[]) => unknown;
const handlers = HANDLERS as unknown as Readonly<Record<string, AnyHandler>>;

export class Connection {
  readonly application: Application;
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  #version: RpcVersion | undefined;
  #inFlight = 0;
  /** What this connection counts for in `held`. */
  #held = 0;
  #writer = new Writer(512);
  #flushing = false;
  #paused = false;

  constructor(socket: Socket, shared: Shared) {
    this.#socket = socket;
    this.application = new Application(shared);
    // As a Uint8Array: a Buffer's slice() is no copy.
    socket.on("data", (chunk: Buffer) => this.#receive(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)));
    socket.on("drain", () => this.#resume());
    // Half a request is not waited for without end: whoever sent it waits, too.
    socket.on("timeout", () => {
      if (this.#held > 0 && !this.#paused) this.#socket.destroy();
    });
    // An error is followed by close; a client that vanishes is an ordinary end.
    socket.on("error", () => undefined);
    // After the server has looked who was logged in.
    socket.once("close", () => {
      shared.held.bytes -= this.#held;
      this.#held = 0;
      queueMicrotask(() => this.application.end());
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Uint8Array): void {
    let rest = chunk;
    this.application.shared.awake.asked(this);
    if (this.#version === undefined) {
      const offered = rest[0];
      if (offered === undefined) return;
      // The codec follows what was offered: newer clients encode mechanisms their way whatever is agreed.
      this.#version = rpcVersion(offered);
      this.application.version = this.#version;
      this.#socket.write(new Uint8Array([Math.min(offered, NEWEST_VERSION)]));
      rest = rest.subarray(1);
    }
    try {
      for (const frame of this.#frames.push(rest)) this.#serve(frame, this.#version);
      this.#hold(this.#frames.pending);
    } catch (error) {
      const { code, message } = asCasemateError(error);
      this.application.ports.log.warn({ code, message }, "pkcs11: connection closed");
      this.#socket.destroy();
    }
  }

  /** @throws TOO_LARGE for more than there is room for. */
  #hold(pending: number): void {
    const { held, unfinishedMs } = this.application.shared;
    held.bytes += pending - this.#held;
    if ((pending === 0) !== (this.#held === 0)) this.#socket.setTimeout(pending === 0 ? 0 : unfinishedMs);
    this.#held = pending;
    if (pending === 0) return;
    if (held.bytes > MAX_HELD || (!this.application.initialized && pending > MAX_UNKNOWN))
      throw new CasemateError("TOO_LARGE", `${pending} bytes of an unfinished request are not held`);
  }

  #serve(frame: Frame, version: RpcVersion): void {
    const { serial } = frame;
    let call: CallRow | undefined;
    try {
      const request = decodeRequest(frame.body, version);
      call = request.call;
      // Its values were copied out of the frame, and are wiped by their handler.
      if (call.name === "C_CreateObject") frame.body.fill(0);
      if (!this.application.initialized && call.name !== "C_Initialize") {
        return this.#error(serial, CKR.CRYPTOKI_NOT_INITIALIZED);
      }
      const handler = handlers[call.name] as AnyHandler;
      const { application } = this;
      const run = (): unknown => handler(application, ...request.values);
      // What cannot be looked up is refused where its handle is used: all else goes on.
      const answer = application.stale ? application.refresh().then(run, run) : run();
      if (answer instanceof Promise) this.#later(serial, call, version, answer);
      else this.#answer(serial, call, version, answer as readonly unknown[]);
    } catch (error) {
      this.#failed(serial, call, error);
    }
  }

  #later(serial: number, call: CallRow, version: RpcVersion, answer: Promise<unknown>): void {
    this.#inFlight++;
    if (this.#inFlight >= MAX_IN_FLIGHT) this.#pause();
    answer.then(
      (values) => {
        this.#inFlight--;
        this.#answer(serial, call, version, values as readonly unknown[]);
        this.#resume();
      },
      (error: unknown) => {
        this.#inFlight--;
        this.#failed(serial, call, error);
        this.#resume();
      },
    );
  }

  #failed(serial: number, call: CallRow | undefined, error: unknown): void {
    const rv = call === undefined && isCasemateError(error) ? decodingFailure(error.code) : returnValue(error);
    if (rv === CKR.GENERAL_ERROR) {
      this.application.ports.log.warn(
        { call: call?.name, error: String(error), stack: stackOf(error) },
        "pkcs11: failed",
      );
    }
    this.application.ports.log.debug?.({ call: call?.name, rv, why: String(error) }, "pkcs11: refused");
    this.#error(serial, rv === CKR.OK ? CKR.GENERAL_ERROR : rv);
  }

  #error(serial: number, rv: number): void {
    const at = this.#begin(serial);
    writeErrorReply(this.#writer, rv);
    this.#end(at);
  }

  #answer(serial: number, call: CallRow, version: RpcVersion, values: readonly unknown[]): void {
    const at = this.#begin(serial);
    try {
      writeReply(this.#writer, call, values, version);
    } catch (error) {
      // Half an answer would be taken for the next one's header, and its client would wait for ever.
      this.#writer.cut(at);
      return this.#failed(serial, call, error);
    }
    this.#end(at);
  }

  #begin(serial: number): number {
    const at = this.#writer.length;
    this.#writer.u32(serial);
    this.#writer.u32(0);
    this.#writer.u32(0);
    return at;
  }

  #end(at: number): void {
    this.#writer.patchU32(at + 8, this.#writer.length - at - FRAME_HEADER);
    if (this.#flushing) return;
    this.#flushing = true;
    // One write for all that becomes ready in this turn.
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#socket.destroyed) return;
    this.#socket.write(this.#writer.view());
    this.application.shared.awake.answered();
    // What the kernel took leaves the buffer free for the next answers.
    if (this.#socket.writableLength === 0 && this.#writer.capacity <= KEEP_BYTES) this.#writer.wipe();
    else this.#writer = new Writer(512);
    if (this.#socket.writableLength > MAX_UNSENT) this.#pause();
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#socket.pause();
  }

  #resume(): void {
    if (!this.#paused || this.#inFlight >= MAX_IN_FLIGHT / 2 || this.#socket.writableLength > MAX_UNSENT / 2) return;
    this.#paused = false;
    this.#socket.resume();
  }
}

function decodingFailure(code: string): number {
  return code === "NOT_SUPPORTED" ? CKR.FUNCTION_NOT_SUPPORTED : CKR.ARGUMENTS_BAD;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
