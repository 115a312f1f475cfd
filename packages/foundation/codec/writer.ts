/** A growing big-endian output buffer. */
export class Writer {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    this.#view.setUint8(this.#reserve(1), value);
  }

  u16(value: number): void {
    this.#view.setUint16(this.#reserve(2), value);
  }

  u32(value: number): void {
    this.#view.setUint32(this.#reserve(4), value);
  }

  u64(value: bigint): void {
    this.#view.setBigUint64(this.#reserve(8), value);
  }

  raw(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#reserve(bytes.length));
  }

  /** Overwrites four bytes written before: for lengths known only afterwards. */
  patchU32(offset: number, value: number): void {
    this.#view.setUint32(offset, value);
  }

  /** What was written, as a view; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written, as bytes of its own. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(length: number): number {
    const start = this.#length;
    const needed = start + length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, start));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = needed;
    return start;
  }
}
