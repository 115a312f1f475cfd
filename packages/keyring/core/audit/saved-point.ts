import { hash } from "node:crypto";
import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import type { AuditFiles } from "./files.ts";
import { SAVED_FILE } from "./sidecars.ts";

/** A place that was verified and whose tree nodes are in the file: start-up begins here. Lost or damaged, it is made again. */
export interface SavedPoint {
  readonly size: number;
  readonly hash: string;
  /** First index of the segment the record before this point lies in, and where it ends there. */
  readonly segment: number;
  readonly bytes: number;
  /** Merkle root at `size`, hexadecimal. */
  readonly root: string;
}

export async function writeSavedPoint(files: AuditFiles, point: SavedPoint): Promise<void> {
  const json = JSON.stringify(point);
  await files.replace(SAVED_FILE, toUtf8(`${json}\n${hash("sha256", json, "hex")}\n`));
}

export async function readSavedPoint(files: AuditFiles): Promise<SavedPoint | undefined> {
  const bytes = await files.load(SAVED_FILE);
  if (bytes === undefined) return undefined;
  try {
    const [json = "", check] = fromUtf8(bytes).split("\n");
    if (hash("sha256", json, "hex") !== check) return undefined;
    const point = JSON.parse(json) as SavedPoint;
    const numbers = [point.size, point.segment, point.bytes].every(
      (value) => Number.isSafeInteger(value) && value >= 0,
    );
    return numbers && [point.hash, point.root].every((text) => /^[0-9a-f]{64}$/.test(text)) ? point : undefined;
  } catch {
    return undefined;
  }
}
