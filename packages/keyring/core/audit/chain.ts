import { hash } from "node:crypto";
import { claimedIndex } from "./segment.ts";
import { EMPTY_HASH, HASH_PREFIX, recordLeaf } from "./record.ts";

/** What is wrong with a record, and which one. */
export interface BadRecord {
  readonly kind: "format" | "order" | "hash";
  /** Index the first bad record has, or should have had. */
  readonly index: number;
  readonly message: string;
}

const HEX_HASH = /^[0-9a-f]{64}$/;

/** Follows the hash chain record by record. */
export class Chain {
  /** Records accepted so far; the next one must have this index. */
  size: number;
  /** Hash of the newest accepted record, hexadecimal. */
  hash: string;

  constructor(size = 0, hash = EMPTY_HASH) {
    this.size = size;
    this.hash = hash;
  }

  /** Accepts the line or says what is wrong with it. Overwrites the hash in `buffer`: it belongs to the scan. */
  accept(buffer: Buffer, start: number, end: number): BadRecord | undefined {
    const index = this.size;
    const stored = buffer.toString("latin1", start, start + HASH_PREFIX - 1);
    const claimed = claimedIndex(buffer, start);
    if (end - start <= HASH_PREFIX || buffer[start + HASH_PREFIX - 1] !== 0x20 || !HEX_HASH.test(stored)) {
      return { kind: "format", index, message: `record ${index} is not a hash and a record` };
    }
    if (claimed === undefined) {
      return { kind: "format", index, message: `record ${index} does not begin with its index` };
    }
    if (claimed !== index) {
      const what = claimed < index ? "repeated or moved" : "missing or moved";
      return { kind: "order", index, message: `record ${index} is ${what}: record ${claimed} stands in its place` };
    }
    // The previous hash goes right before the JSON, over this record's own hash, which is read already.
    buffer.write(this.hash, start + 1, "latin1");
    const computed = hash("sha256", buffer.subarray(start + 1, end), "hex");
    if (computed !== stored) {
      return { kind: "hash", index, message: `record ${index} was changed: its hash does not fit its content` };
    }
    this.hash = computed;
    this.size++;
    return undefined;
  }

  /** Leaf hash of the newest accepted record. */
  leaf(): Buffer {
    return recordLeaf(this.hash);
  }
}
