import * as fs from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CasemateError } from "@casemate/foundation/errors";

/** One open file. Positions and lengths in bytes. */
export interface AuditFile {
  /** Writes all of `bytes` at `position`, or rejects; a part may be written then. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** The same before it returns, or throws: the kernel has the bytes then, the disk after `sync`. */
  writeNow(bytes: Uint8Array, position: number): void;
  /** Returns once everything written is on the disk. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  /** Up to `length` bytes; fewer at the end of the file. */
  read(position: number, length: number): Promise<Buffer>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** What the log needs of a directory: a port, so that tests can make disks full. */
export interface AuditFiles {
  list(): Promise<readonly string[]>;
  /** `create` refuses an existing file, `update` makes a missing one, `read` needs it. */
  open(name: string, mode: "create" | "update" | "read"): Promise<AuditFile>;
  /** Whole content of a small file, undefined when there is none. */
  load(name: string): Promise<Buffer | undefined>;
  /** Puts `bytes` in place of the file at once: either the old or the new content survives a crash. */
  replace(name: string, bytes: Uint8Array): Promise<void>;
  /** Replaces a file of the new name. */
  rename(name: string, to: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Makes created, renamed and removed names durable. */
  syncDirectory(): Promise<void>;
}

class NodeFile implements AuditFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = (done: number): void => {
        fs.write(this.#handle.fd, bytes, done, bytes.length - done, position + done, (error, written) => {
          if (error !== null) reject(error);
          else if (done + written < bytes.length) step(done + written);
          else resolve();
        });
      };
      step(0);
    });
  }

  // A copy into the page cache takes less time than a turn through the thread pool.
  writeNow(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      done += fs.writeSync(this.#handle.fd, bytes, done, bytes.length - done, position + done);
    }
  }

  // The callback form is on the path of every durable request; FileHandle costs twice as much.
  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.#handle.fd, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  async read(position: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#handle.read(buffer, done, length - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer.subarray(0, done);
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

const FLAGS = { create: "wx+", read: "r" } as const;

async function openHandle(path: string, mode: "create" | "update" | "read"): Promise<FileHandle> {
  if (mode === "update") return open(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
  return open(path, FLAGS[mode], 0o600);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/**
 * The files of one directory on disk. With `create` it is made with mode 0700 and must be there as long as it is used; without, none is an
 * empty one.
 */
export async function directoryFiles(directory: string, options: { create: boolean }): Promise<AuditFiles> {
  if (!options.create) return plainFiles(directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return presentFiles(plainFiles(directory), () => fs.existsSync(directory));
}

/** The same files of a directory in use. @throws STORAGE_FAILED where it was moved away: no file of it is missing then, it is elsewhere. */
function presentFiles(files: AuditFiles, present: () => boolean): AuditFiles {
  const there = async <T>(work: Promise<T>): Promise<T> => {
    const [result] = await Promise.allSettled([work]);
    if (!present())
      throw new CasemateError("STORAGE_FAILED", "the data directory was moved or removed under the running server", {
        hint: "Put it back to its old place, or stop the server and start it with --data at the new one; nothing that was acknowledged is lost as long as the directory is kept.",
        ...(result.status === "rejected" ? { cause: result.reason } : {}),
      });
    if (result.status === "rejected") throw result.reason;
    return result.value;
  };
  return {
    list: () => there(files.list()),
    open: (name, mode) => there(files.open(name, mode)),
    load: (name) => there(files.load(name)),
    replace: (name, bytes) => there(files.replace(name, bytes)),
    rename: (name, to) => there(files.rename(name, to)),
    remove: (name) => there(files.remove(name)),
    syncDirectory: () => there(files.syncDirectory()),
  };
}

function plainFiles(directory: string): AuditFiles {
  const path = (name: string): string => join(directory, name);
  const syncDirectory = async (): Promise<void> => {
    const handle = await open(directory, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  };
  return {
    async list() {
      try {
        return await readdir(directory);
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    },
    open: async (name, mode) => new NodeFile(await openHandle(path(name), mode)),
    async load(name) {
      try {
        return await readFile(path(name));
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    async replace(name, bytes) {
      const fresh = path(`${name}.new`);
      const handle = await open(fresh, "w", 0o600);
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(fresh, path(name));
      await syncDirectory();
    },
    async rename(name, to) {
      await rename(path(name), path(to));
      await syncDirectory();
    },
    remove: (name) => rm(path(name), { force: true }),
    syncDirectory,
  };
}

/** The same directory, with each file replaced by what `wrap` makes of it. */
function wrapped(files: AuditFiles, wrap: (file: AuditFile) => Partial<AuditFile>): AuditFiles {
  return {
    list: () => files.list(),
    load: (name) => files.load(name),
    replace: (name, bytes) => files.replace(name, bytes),
    rename: (name, to) => files.rename(name, to),
    remove: (name) => files.remove(name),
    syncDirectory: () => files.syncDirectory(),
    async open(name, mode) {
      const file = await files.open(name, mode);
      return {
        write: (bytes, position) => file.write(bytes, position),
        writeNow: (bytes, position) => file.writeNow(bytes, position),
        sync: () => file.sync(),
        truncate: (length) => file.truncate(length),
        read: (position, length) => file.read(position, length),
        size: () => file.size(),
        close: () => file.close(),
        ...wrap(file),
      };
    },
  };
}

/** The same files, with a way to close what is still open: for work that may fail half-way. */
export function closableFiles(files: AuditFiles): AuditFiles & { closeAll(): Promise<void> } {
  const open = new Set<AuditFile>();
  const tracked = wrapped(files, (file) => {
    open.add(file);
    return {
      close() {
        open.delete(file);
        return file.close();
      },
    };
  });
  return {
    ...tracked,
    async closeAll() {
      await Promise.allSettled([...open].map((file) => file.close()));
    },
  };
}

/** The same files, read with a pause before each block; rejects once `signal` is aborted. */
export function pacedFiles(files: AuditFiles, pauseMs: number, signal: AbortSignal): AuditFiles {
  return wrapped(files, (file) => ({
    async read(position, length) {
      await sleep(pauseMs, undefined, { signal, ref: false });
      return file.read(position, length);
    },
  }));
}
