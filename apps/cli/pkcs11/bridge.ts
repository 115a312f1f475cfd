import type { Readable, Writable } from "node:stream";
import { Writer } from "@casemate/foundation/codec";
import {
  callNamed,
  CKR,
  FrameReader,
  NEWEST_VERSION,
  peekCall,
  writeErrorReply,
  writeReply,
  type Frame,
} from "@casemate/protocols/p11-rpc";

/** A stream to a server, already open. */
export interface Far {
  readonly stream: Readable & Writable;
  close(): void;
}

const INITIALIZE = callNamed("C_Initialize");
const FINALIZE = callNamed("C_Finalize");

function framed(serial: number, body: (writer: Writer) => void): Uint8Array {
  const writer = new Writer(64);
  for (const word of [serial, 0, 0]) writer.u32(word);
  body(writer);
  writer.patchU32(8, writer.length - 12);
  return writer.finish();
}

/**
 * Passes p11-kit's RPC between a client on standard input and output and a server. A server that goes away becomes
 * CKR_DEVICE_ERROR for what was asked and for all that is asked then: the client's own socket would kill an application
 * that does not ignore SIGPIPE. The next C_Initialize connects again.
 */
export class Bridge {
  readonly #near: { readonly input: Readable; readonly output: Writable };
  readonly #connect: () => Promise<Far>;
  readonly #complain: (why: string) => void;
  readonly #requests = new FrameReader();
  #answers = new FrameReader();
  readonly #open = new Set<number>();
  #offered: number | undefined;
  #far: Far | undefined;
  #farVersion = false;
  #work: Promise<void> = Promise.resolve();

  /** @param complain hears why the server cannot be reached: the protocol can only say that. */
  constructor(
    near: { readonly input: Readable; readonly output: Writable },
    connect: () => Promise<Far>,
    complain: (why: string) => void = () => undefined,
  ) {
    this.#near = near;
    this.#connect = connect;
    this.#complain = complain;
  }

  /** Resolves when the client has gone. */
  run(): Promise<void> {
    const { input, output } = this.#near;
    return new Promise((resolve) => {
      const end = (): void => {
        this.#far?.close();
        resolve();
      };
      input.on("data", (chunk: Buffer) => {
        // In order: a connection that is being made must not be overtaken by what is to be sent on it.
        this.#work = this.#work.then(() => this.#fromClient(new Uint8Array(chunk))).catch(end);
      });
      input.on("end", end);
      input.on("error", end);
      output.on("error", end);
    });
  }

  async #fromClient(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    if (this.#offered === undefined) {
      const [offered = 0] = rest;
      this.#offered = offered;
      this.#near.output.write(new Uint8Array([Math.min(offered, NEWEST_VERSION)]));
      rest = rest.subarray(1);
    }
    for (const frame of this.#requests.push(rest)) await this.#request(frame);
  }

  async #request(frame: Frame): Promise<void> {
    const call = frame.body.length >= 4 ? peekCall(frame.body) : 0;
    if (call === INITIALIZE.id && this.#far === undefined) await this.#reach();
    const far = this.#far;
    if (far === undefined) {
      // The application ends what is left of it and may then begin again.
      if (call === FINALIZE.id) {
        this.#near.output.write(framed(frame.serial, (writer) => writeReply(writer, FINALIZE, [], 0)));
      } else this.#fail(frame.serial);
      return;
    }
    this.#open.add(frame.serial);
    const header = new Writer(16);
    for (const word of [frame.serial, frame.options.length, frame.body.length]) header.u32(word);
    far.stream.cork();
    far.stream.write(header.finish());
    far.stream.write(frame.options);
    far.stream.write(frame.body);
    far.stream.uncork();
  }

  async #reach(): Promise<void> {
    try {
      const far = await this.#connect();
      this.#far = far;
      this.#farVersion = false;
      this.#answers = new FrameReader();
      const lost = (): void => this.#lost(far);
      far.stream.on("data", (chunk: Buffer) => this.#fromServer(far, new Uint8Array(chunk)));
      far.stream.on("error", lost);
      far.stream.on("close", lost);
      far.stream.on("end", lost);
      far.stream.write(new Uint8Array([this.#offered ?? 0]));
    } catch (error) {
      this.#far = undefined;
      this.#complain(error instanceof Error ? error.message : String(error));
    }
  }

  #fromServer(far: Far, chunk: Uint8Array): void {
    let rest = chunk;
    if (!this.#farVersion) {
      this.#farVersion = true;
      rest = rest.subarray(1);
    }
    try {
      // Only whole answers are passed on, so that a break never leaves the client half of one.
      for (const { serial, body } of this.#answers.push(rest)) {
        this.#open.delete(serial);
        const header = new Writer(16);
        for (const word of [serial, 0, body.length]) header.u32(word);
        this.#near.output.cork();
        this.#near.output.write(header.finish());
        this.#near.output.write(body);
        this.#near.output.uncork();
      }
    } catch (error) {
      this.#complain(`what the server sent is no answer: ${error instanceof Error ? error.message : String(error)}`);
      this.#lost(far);
    }
  }

  #lost(far: Far): void {
    if (this.#far !== far) return;
    this.#far = undefined;
    far.close();
    for (const serial of this.#open) this.#fail(serial);
    this.#open.clear();
  }

  #fail(serial: number): void {
    this.#near.output.write(framed(serial, (writer) => writeErrorReply(writer, CKR.DEVICE_ERROR)));
  }
}
