import { CasemateError } from "@casemate/foundation/errors";

/**
 * A bounds-checked cursor over read-only input. Every take states what it reads, so an error says where:
 * `TPMS_NV_PUBLIC.attributes at byte 6: need 4 bytes, 3 left`.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #path: (string | number)[] = [];
  readonly #end: number;
  #offset: number;

  constructor(bytes: Uint8Array, offset = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#offset = offset;
    this.#end = end;
  }

  get offset(): number {
    return this.#offset;
  }

  get left(): number {
    return this.#end - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8));
  }

  /** A view, not a copy: callers that keep it beyond the frame must copy. */
  take(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** A reader confined to the next `length` bytes, with this reader's path. */
  slice(length: number): Reader {
    const start = this.#advance(length);
    const inner = new Reader(this.#bytes, start, start + length);
    inner.#path.push(...this.#path);
    return inner;
  }

  /** Adds a field's name or an item's number to the path that errors show, until `leave`. */
  enter(step: string | number): void {
    this.#path.push(step);
  }

  /** Not to be called for a failure: the path must survive for the error. */
  leave(): void {
    this.#path.pop();
  }

  /** @throws CasemateError DECODE_TRAILING when bytes are left. */
  finish(): void {
    if (this.left === 0) return;
    throw new CasemateError("DECODE_TRAILING", `${this.#where()}: ${this.left} bytes left over`, {
      details: { offset: this.#offset, path: this.#shown() },
    });
  }

  /** An error that says where. */
  invalid(problem: string): CasemateError {
    return new CasemateError("DECODE_INVALID", `${this.#where()}: ${problem}`, {
      details: { offset: this.#offset, path: this.#shown() },
    });
  }

  #shown(): string {
    return this.#path.map((step) => (typeof step === "number" ? `[${step}]` : step)).join(".");
  }

  #where(): string {
    return `${this.#path.length > 0 ? this.#shown() : "input"} at byte ${this.#offset}`;
  }

  #advance(length: number): number {
    const start = this.#offset;
    if (length > this.#end - start) {
      throw new CasemateError("DECODE_TRUNCATED", `${this.#where()}: need ${length} bytes, ${this.#end - start} left`, {
        details: { offset: start, path: this.#shown() },
      });
    }
    this.#offset = start + length;
    return start;
  }
}
