import { hash } from "node:crypto";
import type { AuditHead } from "../ports.ts";
import type { AuditFile, AuditFiles } from "./files.ts";
import { EMPTY_HASH } from "./record.ts";
import type { AuditProblem } from "./verification.ts";

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
  /** Whether the file has room for both slots, and no more. It never grows or shrinks. */
  readonly whole: boolean;
}

/**
 * Whether a file with a whole slot is as a crash may leave it. A slot is written between two saved points alone, with the records that it
 * counts: once a saved point covers them all, both slots were on the disk. `saved` is how far that point reaches, undefined where there is none.
 */
export function isLawfulHead({ damaged, whole }: StoredHead, saved: number | undefined, records: number): boolean {
  return damaged === 0 || (whole && (saved === undefined || saved < records));
}

/** What is said of one that is not, while the records hold. */
export function headProblem(): AuditProblem {
  return {
    kind: "head",
    remakes: HEAD_FILE,
    message: `the head file audit/${HEAD_FILE} is damaged in one of its two places, which no crash explains`,
    hint: "The records hold: the next start writes it again, and puts that on record. Its other place may be an older one, so compare with the database, which a start does, or with a checkpoint kept elsewhere.",
  };
}

/** The head as the file has it; undefined when there is no file. */
export async function readHead(files: AuditFiles): Promise<StoredHead | undefined> {
  const bytes = await files.load(HEAD_FILE);
  if (bytes === undefined) return undefined;
  const slots = [decodeSlot(bytes.subarray(0, SLOT)), decodeSlot(bytes.subarray(SLOT))];
  const valid = slots.filter((slot) => slot !== undefined).toSorted((a, b) => b.size - a.size);
  return { head: valid[0], damaged: 2 - valid.length, whole: bytes.length === 2 * SLOT };
}

/** A slot may be read while it is being written: only one that stays damaged is. */
export async function readHeadOfLiveLog(files: AuditFiles): Promise<StoredHead | undefined> {
  let stored = await readHead(files);
  for (let tries = 0; stored !== undefined && stored.damaged > 0 && tries < 3; tries++) stored = await readHead(files);
  return stored;
}

/**
 * Remembers how far the log reaches, so that records cut off its end are missed. Two slots take turns; the file follows
 * each sync without one of its own, so it never says more than is durable and, once idle, never less.
 */
export class HeadFile {
  readonly #file: AuditFile;
  #turn = 0;
  /** What the newer slot says. */
  #newest: AuditHead;

  private constructor(file: AuditFile, newest: AuditHead) {
    this.#file = file;
    this.#newest = newest;
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
    if ((await file.size()) > 2 * SLOT) await file.truncate(2 * SLOT);
    return new HeadFile(file, head);
  }

  /** Writes `head`, without waiting for the disk. */
  follow(head: AuditHead): void {
    this.#turn ^= 1;
    this.#newest = head;
    try {
      this.#file.writeNow(encodeSlot(head), this.#turn * SLOT);
    } catch {
      // The slots exist already, so this needs no room; whatever fails here fails the next commit too, aloud.
    }
  }

  /** Makes the newest head durable in both slots, one after the other: what reads otherwise later was not left by a crash. */
  async settle(): Promise<void> {
    await this.#file.sync();
    this.follow(this.#newest);
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
  }
}
