/** Reads another process's memory as root does, to look for what should not be there. Linux proc(5). */
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";

const CHUNK = 8 * 1024 * 1024;

export interface Needle {
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface Region {
  readonly start: number;
  readonly end: number;
}

/** Everything that the process can write to: heaps, stacks, buffers, the secure heap. */
function writableRegions(pid: number): readonly Region[] {
  const regions: Region[] = [];
  for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    regions.push({ start: Number.parseInt(match[1], 16), end: Number.parseInt(match[2], 16) });
  }
  return regions;
}

/** Names of the needles that are in the memory of the process. @throws EACCES without the right to look. */
export function searchMemory(pid: number, needles: readonly Needle[]): ReadonlySet<string> {
  const longest = Math.max(...needles.map(({ bytes }) => bytes.length));
  const found = new Set<string>();
  const buffer = Buffer.alloc(CHUNK + longest);
  const memory = openSync(`/proc/${pid}/mem`, "r");
  try {
    for (const { start, end } of writableRegions(pid)) {
      for (let at = start; at < end; at += CHUNK) {
        const wanted = Math.min(CHUNK + longest, end - at);
        let read: number;
        try {
          read = readSync(memory, buffer, 0, wanted, at);
        } catch {
          break; // gone or not backed by memory meanwhile
        }
        const window = buffer.subarray(0, read);
        for (const { name, bytes } of needles) if (!found.has(name) && window.includes(bytes)) found.add(name);
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

/** Writes what the process has in its memory now to a file, to be searched for what is learnt later. Pages of zeros are left out. */
export function keepMemory(pid: number, path: string): void {
  const buffer = Buffer.alloc(CHUNK);
  const zeros = Buffer.alloc(CHUNK);
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const file = openSync(path, "wx", 0o600);
  try {
    for (const { start, end } of writableRegions(pid)) {
      for (let at = start; at < end; at += CHUNK) {
        let read: number;
        try {
          read = readSync(memory, buffer, 0, Math.min(CHUNK, end - at), at);
        } catch {
          break; // gone or not backed by memory meanwhile
        }
        const part = buffer.subarray(0, read);
        if (!part.equals(zeros.subarray(0, read))) writeSync(file, part);
      }
    }
  } finally {
    closeSync(memory);
    closeSync(file);
  }
}

/** Names of the needles that are in a file, whatever its size. */
export function searchFile(path: string, needles: readonly Needle[]): ReadonlySet<string> {
  const longest = Math.max(...needles.map(({ bytes }) => bytes.length));
  const found = new Set<string>();
  const buffer = Buffer.alloc(CHUNK + longest);
  const file = openSync(path, "r");
  try {
    for (let at = 0; ; at += CHUNK) {
      const read = readSync(file, buffer, 0, buffer.length, at);
      if (read === 0) return found;
      const window = buffer.subarray(0, read);
      for (const { name, bytes } of needles) if (!found.has(name) && window.includes(bytes)) found.add(name);
    }
  } finally {
    closeSync(file);
  }
}
