// The channel's framing, shared by both halves: u32 length of the rest | u32 id | u8 op or status | body, big-endian.
import { CasemateError } from "@casemate/foundation/errors";

/** Largest frame after its length field. A longer one means that the other side is broken or hostile. */
export const MAX_FRAME = 16 * 1024 * 1024;
export const HEADER = 9;
/** Length field's smallest value: id and op without a body. */
const MIN_FRAME = 5;
/** Frames with this id are notifications of the guest; requests start at 1. */
export const NOTIFY_ID = 0;
/** The guest's first notification: its isolation report. */
export const HELLO = 0xff;
const FIRST_CAPACITY = 16 * 1024;
const KEEP_CAPACITY = 256 * 1024;

/** Throws before anything is sent, so that a request that is too large never breaks the channel. */
export function checkBody(body: Uint8Array): void {
  if (body.length > MAX_FRAME - MIN_FRAME) {
    throw new CasemateError(
      "TOO_LARGE",
      `a message of ${body.length} bytes, at most ${MAX_FRAME - MIN_FRAME} allowed`,
      {
        details: { size: body.length, limit: MAX_FRAME - MIN_FRAME },
      },
    );
  }
}

/** Collects outgoing frames into one buffer, so that many frames cost one write. */
export class FrameBatch {
  #bytes = Buffer.allocUnsafeSlow(FIRST_CAPACITY);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(id: number, code: number, body: Uint8Array): void {
    const start = this.#length;
    const end = start + HEADER + body.length;
    if (end > this.#bytes.length) this.#grow(end);
    const bytes = this.#bytes;
    bytes.writeUInt32BE(body.length + MIN_FRAME, start);
    bytes.writeUInt32BE(id, start + 4);
    bytes[start + 8] = code;
    bytes.set(body, start + HEADER);
    this.#length = end;
  }

  /** The bytes to write now. Call `release` with whether the write has finished before adding more. */
  take(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A finished write leaves the buffer for reuse; an unfinished one keeps it and a new one is taken, large enough for as much again. */
  release(finished: boolean): void {
    const used = this.#length;
    this.#length = 0;
    if (finished && this.#bytes.length <= KEEP_CAPACITY) return;
    const again = used <= KEEP_CAPACITY ? used : 0;
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(FIRST_CAPACITY, again));
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes.fill(0);
    this.#bytes = grown;
  }
}

export type OnFrame = (id: number, code: number, body: Uint8Array) => void;

/** Cuts a byte stream into frames. Bodies are views into the chunk that brought them; only a split frame is copied. */
export class FrameParser {
  #partial: Buffer | undefined;
  #filled = 0;
  #need = 0;

  /** True between frames: the stream may end here. */
  get atBoundary(): boolean {
    return this.#partial === undefined;
  }

  /** @throws CasemateError DECODE_INVALID for a length no honest side sends; the stream is then unusable. */
  push(chunk: Buffer, onFrame: OnFrame): void {
    let offset = this.#partial === undefined ? 0 : this.#resume(chunk, onFrame);
    while (chunk.length - offset >= HEADER) {
      const end = offset + 4 + frameLength(chunk, offset);
      if (end > chunk.length) break;
      onFrame(chunk.readUInt32BE(offset + 4), chunk[offset + 8] as number, plain(chunk, offset + HEADER, end));
      offset = end;
    }
    if (offset < chunk.length) this.#begin(chunk.subarray(offset));
  }

  #begin(tail: Buffer): void {
    this.#need = tail.length >= 4 ? 4 + frameLength(tail, 0) : HEADER;
    this.#partial = Buffer.allocUnsafeSlow(this.#need);
    this.#partial.set(tail);
    this.#filled = tail.length;
  }

  /** Adds to the split frame; returns how much of the chunk it used. */
  #resume(chunk: Buffer, onFrame: OnFrame): number {
    let offset = 0;
    let partial = this.#partial as Buffer;
    if (this.#filled < 4) {
      const used = Math.min(4 - this.#filled, chunk.length);
      partial.set(chunk.subarray(0, used), this.#filled);
      this.#filled += used;
      offset = used;
      if (this.#filled < 4) return offset;
      this.#need = 4 + frameLength(partial, 0);
      const whole = Buffer.allocUnsafeSlow(this.#need);
      whole.set(partial.subarray(0, 4));
      this.#partial = partial = whole;
    }
    const used = Math.min(this.#need - this.#filled, chunk.length - offset);
    partial.set(chunk.subarray(offset, offset + used), this.#filled);
    this.#filled += used;
    offset += used;
    if (this.#filled === this.#need) {
      this.#partial = undefined;
      onFrame(partial.readUInt32BE(4), partial[8] as number, plain(partial, HEADER, partial.length));
    }
    return offset;
  }
}

/** As a Uint8Array: a Buffer's slice() is no copy, and what a reader kept so would change with the next read. */
function plain(bytes: Buffer, from: number, to: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from);
}

function frameLength(bytes: Buffer, offset: number): number {
  const length = bytes.readUInt32BE(offset);
  if (length < MIN_FRAME || length > MAX_FRAME) {
    throw new CasemateError("DECODE_INVALID", `a frame of ${length} bytes, allowed are ${MIN_FRAME} to ${MAX_FRAME}`);
  }
  return length;
}
