// Implements: p11-kit RPC, framing (p11-kit/rpc-transport.c): u32 serial, u32 options length, u32 body length, options, body.
import { CasemateError } from "@casemate/foundation/errors";
import { RPC_LIMITS } from "./limits.ts";

export interface Frame {
  /** Never 0; the reply repeats it. */
  readonly serial: number;
  readonly options: Uint8Array;
  readonly body: Uint8Array;
}

export const FRAME_HEADER = 12;

const u32 = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;

/**
 * Cuts a byte stream into frames. Memory held is what has arrived, never what a header promises.
 * Bodies of frames that came in one chunk are views into it.
 */
export class FrameReader {
  #held: Uint8Array = new Uint8Array(0);
  #chunks: Uint8Array[] = [];
  #waiting = 0;
  #needed = FRAME_HEADER;

  /** Bytes of an unfinished frame. */
  get pending(): number {
    return this.#held.length + this.#waiting;
  }

  /** Frames completed by `chunk`. @throws DECODE_INVALID or TOO_LARGE: the stream cannot be followed any further. */
  push(chunk: Uint8Array): readonly Frame[] {
    let input = chunk;
    if (this.pending > 0) {
      this.#chunks.push(chunk);
      this.#waiting += chunk.length;
      if (this.pending < this.#needed) return [];
      input = new Uint8Array(this.pending);
      input.set(this.#held);
      let at = this.#held.length;
      for (const part of this.#chunks) {
        input.set(part, at);
        at += part.length;
      }
      this.#chunks = [];
      this.#waiting = 0;
      this.#held = new Uint8Array(0);
    }
    const frames: Frame[] = [];
    let at = 0;
    this.#needed = FRAME_HEADER;
    while (input.length - at >= FRAME_HEADER) {
      const serial = u32(input, at);
      const optionLength = u32(input, at + 4);
      const bodyLength = u32(input, at + 8);
      if (serial === 0) throw new CasemateError("DECODE_INVALID", "frame.serial: 0 is not allowed");
      if (optionLength > RPC_LIMITS.optionBytes) {
        throw new CasemateError(
          "TOO_LARGE",
          `frame.options: ${optionLength} bytes, at most ${RPC_LIMITS.optionBytes} allowed`,
        );
      }
      if (bodyLength > RPC_LIMITS.bodyBytes) {
        throw new CasemateError(
          "TOO_LARGE",
          `frame.body: ${bodyLength} bytes, at most ${RPC_LIMITS.bodyBytes} allowed`,
        );
      }
      const total = FRAME_HEADER + optionLength + bodyLength;
      if (input.length - at < total) {
        this.#needed = total;
        break;
      }
      const body = at + FRAME_HEADER + optionLength;
      frames.push({
        serial,
        options: input.subarray(at + FRAME_HEADER, body),
        body: input.subarray(body, body + bodyLength),
      });
      at += total;
    }
    this.#held = at === input.length ? new Uint8Array(0) : input.slice(at);
    return frames;
  }
}
