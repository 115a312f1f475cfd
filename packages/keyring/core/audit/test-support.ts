/** For tests of the audit log: a directory in memory that can be full, and a signer. */
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { manualClock } from "@casemate/foundation/effects";
import type { AuditEntry, CheckpointSigner } from "../ports.ts";
import type { AuditFile, AuditFiles } from "./files.ts";
import { openAudit, type FileAuditLog, type OpenAuditOptions } from "./open-audit.ts";

function fail(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** Files in memory. `room` bytes are left; a write beyond writes what fits and fails with ENOSPC. */
export class MemoryFiles implements AuditFiles {
  readonly content = new Map<string, Buffer>();
  room = Infinity;
  /** Error code of the next sync, once. */
  failSync: string | undefined;
  writes = 0;
  bytesRead = 0;
  syncs = 0;

  copy(): MemoryFiles {
    const other = new MemoryFiles();
    for (const [name, bytes] of this.content) other.content.set(name, Buffer.from(bytes));
    return other;
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.content.keys()]);
  }

  load(name: string): Promise<Buffer | undefined> {
    const bytes = this.content.get(name);
    return Promise.resolve(bytes === undefined ? undefined : Buffer.from(bytes));
  }

  replace(name: string, bytes: Uint8Array): Promise<void> {
    const grows = bytes.length - (this.content.get(name)?.length ?? 0);
    if (grows > this.room) return Promise.reject(fail("ENOSPC"));
    this.room -= grows;
    this.content.set(name, Buffer.from(bytes));
    return Promise.resolve();
  }

  rename(name: string, to: string): Promise<void> {
    this.content.set(to, this.content.get(name)!);
    this.content.delete(name);
    return Promise.resolve();
  }

  remove(name: string): Promise<void> {
    this.room += this.content.get(name)?.length ?? 0;
    this.content.delete(name);
    return Promise.resolve();
  }

  syncDirectory(): Promise<void> {
    return Promise.resolve();
  }

  open(name: string, mode: "create" | "update" | "read"): Promise<AuditFile> {
    if (mode === "create" && this.content.has(name)) return Promise.reject(fail("EEXIST"));
    if (!this.content.has(name)) {
      if (mode === "read") return Promise.reject(fail("ENOENT"));
      this.content.set(name, Buffer.alloc(0));
    }
    return Promise.resolve(this.#file(name));
  }

  #file(name: string): AuditFile {
    const bytes = (): Buffer => this.content.get(name) ?? Buffer.alloc(0);
    const write = (data: Uint8Array, position: number): void => {
      this.writes++;
      const grows = Math.max(0, position + data.length - bytes().length);
      const written = data.subarray(0, data.length - Math.max(0, grows - this.room));
      const larger = Buffer.alloc(Math.max(bytes().length, position + written.length));
      bytes().copy(larger);
      larger.set(written, position);
      this.room -= larger.length - bytes().length;
      this.content.set(name, larger);
      if (written.length < data.length) throw fail("ENOSPC");
    };
    return {
      writeNow: write,
      write: async (data, position) => write(data, position),
      sync: () => {
        this.syncs++;
        const code = this.failSync;
        this.failSync = undefined;
        return code === undefined ? Promise.resolve() : Promise.reject(fail(code));
      },
      truncate: (length) => {
        this.room += bytes().length - length;
        this.content.set(name, Buffer.from(bytes().subarray(0, length)));
        return Promise.resolve();
      },
      read: (position, length) => {
        const part = Buffer.from(bytes().subarray(position, position + length));
        this.bytesRead += part.length;
        return Promise.resolve(part);
      },
      size: () => Promise.resolve(bytes().length),
      close: () => Promise.resolve(),
    };
  }
}

export const clock = manualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 678));

export function entry(over: Partial<AuditEntry> = {}): AuditEntry {
  return {
    principal: "user/alice",
    source: "rest",
    action: "key.sign",
    resource: "key/release",
    outcome: "ok",
    count: 1,
    details: { version: 1, bytes: 32 },
    ...over,
  };
}

export interface TestSigner extends CheckpointSigner {
  readonly privateKey: KeyObject;
}

export function testSigner(name = "hsm-1"): TestSigner {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return {
    name,
    privateKey,
    publicKey: publicKey.export({ format: "der", type: "spki" }).subarray(-32),
    sign: (note) => Promise.resolve(sign(null, note, privateKey)),
  };
}

export function openMemory(files: AuditFiles, options: Partial<OpenAuditOptions> = {}): Promise<FileAuditLog> {
  return openAudit({ directory: "", clock, files, ...options });
}

/** A closed log of `count` records in memory, with a checkpoint every `every` records and another at the end. */
export async function builtLog(
  count: number,
  options: Partial<OpenAuditOptions> & { readonly every?: number; readonly signer?: CheckpointSigner } = {},
): Promise<MemoryFiles> {
  const files = new MemoryFiles();
  const { every = 5, signer = testSigner(), ...rest } = options;
  const log = await openMemory(files, { segmentBytes: 1500, recordsPerSave: 7, ...rest });
  log.useSigner(signer);
  for (let i = 0; i < count; i++) {
    await log.append(entry({ resource: `key/${i}`, ...(i % 3 === 0 ? { outcome: "FORBIDDEN" } : {}) }));
    if (i % every === every - 1) await log.checkpoint();
  }
  await log.close();
  return files;
}

/** All records of all segments, with where they lie. */
export function linesOf(
  files: MemoryFiles,
): readonly { readonly segment: string; readonly start: number; readonly end: number }[] {
  const lines: { segment: string; start: number; end: number }[] = [];
  for (const segment of [...files.content.keys()].filter((name) => name.startsWith("records-")).toSorted()) {
    const bytes = files.content.get(segment)!;
    for (let start = bytes.indexOf(10) + 1; start < bytes.length;) {
      const end = bytes.indexOf(10, start) + 1;
      lines.push({ segment, start, end });
      start = end;
    }
  }
  return lines;
}
