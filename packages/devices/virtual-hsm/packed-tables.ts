/** What the sealed state lists, kept packed as it is saved: a save copies bytes instead of walking hundreds of thousands of entries. */

export const STATE_ID_BYTES = 8;
const ENTRY_BYTES = STATE_ID_BYTES + 8;
const FIRST_CAPACITY = 64;

/** A buffer of at least twice the size with the same beginning. */
function grown(bytes: Buffer, needed: number): Buffer {
  if (needed <= bytes.length) return bytes;
  const larger = Buffer.alloc(Math.max(needed, bytes.length * 2));
  larger.set(bytes);
  return larger;
}

const idAt = (bytes: Buffer, at: number): string => bytes.toString("latin1", at, at + STATE_ID_BYTES);

/** State ids that only become more. Ids are latin1 text. */
export class IdSet {
  readonly #ids = new Set<string>();
  #bytes: Buffer;

  /** @param packed ids end to end. */
  constructor(packed: Uint8Array = new Uint8Array()) {
    this.#bytes = Buffer.alloc(Math.max(packed.length, FIRST_CAPACITY * STATE_ID_BYTES));
    this.#bytes.set(packed);
    for (let at = 0; at + STATE_ID_BYTES <= packed.length; at += STATE_ID_BYTES) this.#ids.add(idAt(this.#bytes, at));
  }

  get size(): number {
    return this.#ids.size;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  add(id: string): void {
    if (this.#ids.has(id)) return;
    const at = this.#ids.size * STATE_ID_BYTES;
    this.#bytes = grown(this.#bytes, at + STATE_ID_BYTES);
    this.#bytes.write(id, at, "latin1");
    this.#ids.add(id);
  }

  /** A view, valid until the next `add`. */
  packed(): Uint8Array {
    return this.#bytes.subarray(0, this.#ids.size * STATE_ID_BYTES);
  }
}

/** A count per state id. */
export class CounterTable {
  readonly #slots = new Map<string, number>();
  #bytes: Buffer;

  /** @param packed id ‖ u64 count, end to end. */
  constructor(packed: Uint8Array = new Uint8Array()) {
    this.#bytes = Buffer.alloc(Math.max(packed.length, FIRST_CAPACITY * ENTRY_BYTES));
    this.#bytes.set(packed);
    const entries = Math.floor(packed.length / ENTRY_BYTES);
    for (let slot = 0; slot < entries; slot++) this.#slots.set(idAt(this.#bytes, slot * ENTRY_BYTES), slot);
  }

  get size(): number {
    return this.#slots.size;
  }

  get(id: string): number | undefined {
    const slot = this.#slots.get(id);
    return slot === undefined ? undefined : Number(this.#bytes.readBigUInt64BE(slot * ENTRY_BYTES + STATE_ID_BYTES));
  }

  has(id: string): boolean {
    return this.#slots.has(id);
  }

  set(id: string, count: number): void {
    let slot = this.#slots.get(id);
    if (slot === undefined) {
      slot = this.#slots.size;
      this.#bytes = grown(this.#bytes, (slot + 1) * ENTRY_BYTES);
      this.#bytes.write(id, slot * ENTRY_BYTES, "latin1");
      this.#slots.set(id, slot);
    }
    this.#bytes.writeBigUInt64BE(BigInt(count), slot * ENTRY_BYTES + STATE_ID_BYTES);
  }

  /** The last entry takes the place that becomes free. */
  delete(id: string): void {
    const slot = this.#slots.get(id);
    if (slot === undefined) return;
    const last = this.#slots.size - 1;
    this.#slots.delete(id);
    if (slot === last) return;
    this.#bytes.copyWithin(slot * ENTRY_BYTES, last * ENTRY_BYTES, (last + 1) * ENTRY_BYTES);
    this.#slots.set(idAt(this.#bytes, slot * ENTRY_BYTES), slot);
  }

  /** A view, valid until the next change. */
  packed(): Uint8Array {
    return this.#bytes.subarray(0, this.#slots.size * ENTRY_BYTES);
  }
}
