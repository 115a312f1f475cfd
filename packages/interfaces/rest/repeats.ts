/**
 * Requests that begin with the same head as one before them on their connection, byte for byte, and that the short way takes. Node's
 * parser has read those bytes and the short way has checked them, so nothing is left to find out but the body: it is handed on without
 * a second reading (RFC 9112 §6.3 gives its length).
 *
 * Nothing is guessed. A head counts only where a message begins, which is known while every byte since the connection was opened belongs to a
 * message whose length is known. Where that is not so (chunked bodies, pipelining, a head in pieces), Node reads the rest of the connection.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Answer, PlainHead } from "./hot-path.ts";

/** Longer heads are not remembered: there may be thousands of connections. */
const LONGEST_HEAD = 2048;
const HEAD_END = "\r\n\r\n";
/** RFC 8446 §5.1: most plaintext of a record. What is longer comes in several reads. */
const RECORD = 16 * 1024;
/** How long the parts of a longer body are gathered here. */
const GATHER_MS = 1000;

export interface RepeatOptions {
  /** Answers a request with this head. Never rejects. */
  readonly answer: (head: PlainHead, body: Buffer) => Promise<Answer | undefined>;
  /** The server closes: each answer is the last of its connection. */
  readonly closing: () => boolean;
  /** Seconds that a connection may be idle, as answers tell it. */
  readonly keepAliveSeconds: number;
  readonly inFlight: InFlight;
  /** RFC 9110 §5.6.7. */
  readonly date: () => string;
}

/** Requests under way that Node's server does not know of. */
export class InFlight {
  #count = 0;
  #empty: (() => void) | undefined;

  enter(): void {
    this.#count++;
  }

  leave(): void {
    if (--this.#count === 0) this.#empty?.();
  }

  /** Resolves when there is none. */
  async none(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => (this.#empty = resolve));
  }
}

interface Known {
  readonly bytes: Buffer;
  readonly head: PlainHead;
}

interface Held {
  readonly bytes: Buffer;
  filled: number;
  /** Ends the waiting. */
  readonly stop: () => void;
}

type Listener = (...args: unknown[]) => void;

export class Repeats {
  readonly #socket: Socket;
  readonly #options: RepeatOptions;
  #toNode: Listener;
  #endToNode: Listener;
  /** Bytes of the head, and what they say. */
  #known: Known | undefined;
  /** The message that Node reads: what it began with, how much of it has come, and its length once its head was read. */
  #began: Buffer | undefined;
  #headLength = 0;
  #come = 0;
  #due: number | undefined;
  /** Answers of Node's that are not out yet. */
  #owed = 0;
  #lost = false;
  #busy = false;
  /** A request with the known head of which `filled` bytes have come. */
  #held: Held | undefined;
  /** What came while an answer was under way. */
  #waiting: Buffer[] = [];
  #ended = false;

  /** For a socket that Node's server has just begun to listen to. */
  constructor(socket: Socket, options: RepeatOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#toNode = takeListener(socket, "data");
    this.#endToNode = takeListener(socket, "end");
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("end", () => this.#end());
  }

  /** An answer is being made that Node does not know of: silence is no reason to close the connection, unless it is that of a client that does not read. */
  get busy(): boolean {
    return this.#busy && !this.#socket.writableNeedDrain;
  }

  /** Node's parser has read a head. To be called for each, before it is handled. Whether it is known that nothing has come behind its message. */
  head({ method = "", url = "", headers }: IncomingMessage, response: ServerResponse): boolean {
    this.#owed++;
    response.once("close", () => this.#owed--);
    const began = this.#began;
    const line = `${method} ${url} HTTP/1.1\r\n`;
    const end = began?.indexOf(HEAD_END) ?? -1;
    if (
      this.#due !== undefined ||
      began === undefined ||
      end < 0 ||
      headers["transfer-encoding"] !== undefined ||
      began.toString("latin1", 0, line.length) !== line
    ) {
      this.#giveUp();
      return false;
    }
    this.#headLength = end + HEAD_END.length;
    this.#due = this.#headLength + Number(headers["content-length"] ?? 0);
    return this.#come <= this.#due;
  }

  /** The head that Node's parser has just read was found good. */
  remember(head: PlainHead): void {
    const bytes = this.#began?.subarray(0, this.#headLength);
    if (this.#lost || bytes === undefined || bytes.length > LONGEST_HEAD || this.#known?.bytes.equals(bytes) === true)
      return;
    this.#known = { bytes: Buffer.from(bytes), head };
  }

  /** Lets the socket go, when it is no longer HTTP. */
  detach(): void {
    this.#giveUp();
    this.#toNode = this.#endToNode = () => {};
  }

  #giveUp(): void {
    this.#lost = true;
    this.#known = undefined;
    this.#began = undefined;
  }

  #take(chunk: Buffer): void {
    if (this.#busy) {
      this.#waiting.push(chunk);
      this.#socket.pause();
      return;
    }
    const known = this.#known;
    if (known === undefined || this.#come > 0 || this.#owed > 0) {
      this.#feed(chunk);
      return;
    }
    if (this.#held !== undefined) {
      this.#add(known, this.#held, chunk);
      return;
    }
    const { bytes, head } = known;
    const missing = bytes.length + head.length - chunk.length;
    if (missing < 0 || chunk.length < bytes.length || bytes.compare(chunk, 0, bytes.length) !== 0) this.#feed(chunk);
    else if (missing === 0) void this.#answer(head, chunk.subarray(bytes.length));
    else this.#hold(chunk, missing);
  }

  /** The rest may come at once, in packets of its own; not for long: slow senders are Node's to watch. */
  #hold(chunk: Buffer, missing: number): void {
    const bytes = Buffer.allocUnsafeSlow(chunk.length + missing);
    bytes.set(chunk);
    const release = (): void => this.#release();
    let stop: () => void;
    if (bytes.length <= RECORD) {
      const turn = setImmediate(release);
      stop = () => clearImmediate(turn);
    } else {
      const timer = setTimeout(release, GATHER_MS);
      stop = () => clearTimeout(timer);
    }
    this.#held = { bytes, filled: chunk.length, stop };
    this.#options.inFlight.enter();
  }

  #add({ bytes, head }: Known, held: Held, chunk: Buffer): void {
    if (held.filled + chunk.length > held.bytes.length) {
      this.#release();
      this.#feed(chunk);
      return;
    }
    held.bytes.set(chunk, held.filled);
    held.filled += chunk.length;
    if (held.filled < held.bytes.length) return;
    void this.#answer(head, held.bytes.subarray(bytes.length));
    this.#drop(held);
  }

  #drop(held: Held): void {
    held.stop();
    this.#held = undefined;
    this.#options.inFlight.leave();
  }

  #release(): void {
    const held = this.#held;
    if (held === undefined) return;
    if (!this.#socket.destroyed) this.#feed(held.bytes.subarray(0, held.filled));
    this.#drop(held);
  }

  #feed(chunk: Buffer): void {
    if (this.#lost) {
      this.#toNode(chunk);
      return;
    }
    if (this.#come === 0) this.#began = chunk;
    this.#come += chunk.length;
    this.#toNode(chunk);
    if (this.#due === undefined || this.#come < this.#due) return;
    if (this.#come > this.#due) this.#giveUp();
    this.#come = 0;
    this.#due = undefined;
    this.#began = undefined;
  }

  async #answer(head: PlainHead, body: Buffer): Promise<void> {
    const { answer, inFlight, closing, keepAliveSeconds, date } = this.#options;
    this.#busy = true;
    inFlight.enter();
    const made = await answer(head, body);
    if (made === undefined || this.#socket.destroyed) {
      inFlight.leave();
      return;
    }
    const size = Buffer.byteLength(made.body);
    let text = `HTTP/1.1 ${made.status} ${STATUS_CODES[made.status]}\r\n`;
    for (let at = 0; at < made.headers.length; at += 2) text += `${made.headers[at]}: ${made.headers[at + 1]}\r\n`;
    const last = closing();
    text += last ? "connection: close\r\n" : `connection: keep-alive\r\nkeep-alive: timeout=${keepAliveSeconds}\r\n`;
    text += `date: ${date()}\r\ncontent-length: ${size}\r\n\r\n${made.body}`;
    const encoding = size === made.body.length ? "latin1" : "utf8";
    if (last) {
      this.#socket.end(text, encoding, () => inFlight.leave());
      return;
    }
    const taken = this.#socket.write(text, encoding);
    inFlight.leave();
    if (taken) this.#next();
    else this.#socket.once("drain", () => this.#next());
  }

  #next(): void {
    this.#busy = false;
    if (this.#waiting.length > 0) {
      // In one piece, as Node may pause in between.
      const chunk = Buffer.concat(this.#waiting);
      this.#waiting = [];
      this.#socket.resume();
      this.#take(chunk);
    }
    if (this.#ended && !this.#busy) this.#end();
  }

  #end(): void {
    this.#ended = true;
    if (this.#busy) return;
    this.#release();
    this.#endToNode();
  }
}

/** The last listener, which is the one of Node's HTTP server; before it may stand one of the socket's own. */
function takeListener(socket: Socket, event: "data" | "end"): Listener {
  const listener = socket.listeners(event).at(-1) as Listener | undefined;
  if (listener === undefined) throw new TypeError(`nobody listens to "${event}" of this socket`);
  socket.removeListener(event, listener);
  return listener;
}
