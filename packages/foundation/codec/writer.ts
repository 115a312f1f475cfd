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

  get capacity(): number {
    return this.#bytes.length;
  }

  u8(value: number): void {
    const start = this.#reserve(1);
    this.#view.setUint8(start, value);
  }

  u16(value: number): void {
    const start = this.#reserve(2);
    this.#view.setUint16(start, value);
  }

  u32(value: number): void {
    const start = this.#reserve(4);
    this.#view.setUint32(start, value);
  }

  u64(value: bigint): void {
    const start = this.#reserve(8);
    this.#view.setBigUint64(start, value);
  }

  /** @throws TypeError for what is no array of bytes: it has no length that could be reserved. */
  raw(bytes: Uint8Array): void {
    if (!(bytes instanceof Uint8Array)) throw new TypeError("only bytes are written as they are");
    const start = this.#reserve(bytes.length);
    this.#bytes.set(bytes, start);
  }

  /** Overwrites four bytes written before: for lengths known only afterwards. */
  patchU32(offset: number, value: number): void {
    this.#view.setUint32(offset, value);
  }

  /** Takes back all that was written from `length` on. */
  cut(length: number): void {
    this.#bytes.fill(0, length, this.#length);
    this.#length = length;
  }

  /** What was written, as a view; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written, as bytes of its own. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Overwrites what was written and starts again from nothing. */
  wipe(): void {
    this.#bytes.fill(0, 0, this.#length);
    this.#length = 0;
  }

  /** May replace buffer and view: look them up only afterwards. */
  #reserve(length: number): number {
    const start = this.#length;
    const needed = start + length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, start));
      this.#bytes.fill(0, 0, start);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = needed;
    return start;
  }
}
