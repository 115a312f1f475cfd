import { hash } from "node:crypto";
import type { AuditHead } from "../ports.ts";
import type { AuditFile, AuditFiles } from "./files.ts";
import { EMPTY_HASH } from "./record.ts";

export const HEAD_FILE = "head";
const SLOT = 128;
const LINE = /^size=(\d{16}) hash=([0-9a-f]{64}) check=([0-9a-f]{16})\n/;

function checkOf(front: string): string {
  return hash("sha256", front, "hex").slice(0, 16);
}

function encodeSlot(head: AuditHead): Buffer {
  const front = `size=${String(head.size).padStart(16, "0")} hash=${head.hash}`;
  return Buffer.from(`${front} check=${checkOf(front)}\n`.padEnd(SLOT, "\n"), "latin1");
}

function decodeSlot(slot: Buffer): AuditHead | undefined {
  const text = slot.toString("latin1");
  const match = LINE.exec(text);
  if (match === null || text.slice(match[0].length).replaceAll("\n", "") !== "") return undefined;
  const [, size = "", hashHex = "", check] = match;
  if (checkOf(`size=${size} hash=${hashHex}`) !== check) return undefined;
  return { size: Number(size), hash: hashHex };
}

export interface StoredHead {
  readonly head: AuditHead | undefined;
  /** Slots that do not read: one may be torn by a power cut, two are damage. */
  readonly damaged: number;
}

/** The head as the file has it; undefined when there is no file. */
export async function readHead(files: AuditFiles): Promise<StoredHead | undefined> {
  const bytes = await files.load(HEAD_FILE);
  if (bytes === undefined) return undefined;
  const slots = [decodeSlot(bytes.subarray(0, SLOT)), decodeSlot(bytes.subarray(SLOT))];
  const valid = slots.filter((slot) => slot !== undefined).toSorted((a, b) => b.size - a.size);
  return { head: valid[0], damaged: 2 - valid.length };
}

/**
 * Remembers how far the log reaches, so that records cut off its end are missed. Two slots take turns; the file follows
 * each sync without one of its own, so it never says more than is durable and, once idle, never less.
 */
export class HeadFile {
  readonly #file: AuditFile;
  #turn = 0;

  private constructor(file: AuditFile) {
    this.#file = file;
  }

  static async create(files: AuditFiles): Promise<void> {
    const slot = encodeSlot({ size: 0, hash: EMPTY_HASH });
    await files.replace(HEAD_FILE, Buffer.concat([slot, slot]));
  }

  /** Opens the file and puts both slots right, in place and one after the other: a full disk does not matter. */
  static async open(files: AuditFiles, head: AuditHead): Promise<HeadFile> {
    const file = await files.open(HEAD_FILE, "update");
    const slot = encodeSlot(head);
    const stored = await file.read(0, 2 * SLOT);
    const first = decodeSlot(stored.subarray(0, SLOT));
    const second = decodeSlot(stored.subarray(SLOT));
    // The slot that says less goes first, so that one whole slot is there at every moment.
    const order = (first?.size ?? -1) <= (second?.size ?? -1) ? [0, 1] : [1, 0];
    for (const turn of order) {
      if (stored.subarray(turn * SLOT, (turn + 1) * SLOT).equals(slot)) continue;
      await file.write(slot, turn * SLOT);
      await file.sync();
    }
    return new HeadFile(file);
  }

  /** Writes `head`, without waiting for the disk. */
  follow(head: AuditHead): void {
    this.#turn ^= 1;
    try {
      this.#file.writeNow(encodeSlot(head), this.#turn * SLOT);
    } catch {
      // The slots exist already, so this needs no room; whatever fails here fails the next commit too, aloud.
    }
  }

  /** Makes the newest head durable. */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
  }
}
