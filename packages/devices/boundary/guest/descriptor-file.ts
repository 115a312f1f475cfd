import { fstatSync, readSync, writeSync } from "node:fs";

/**
 * A small file whose open descriptor the host passed on: the guest may open none itself. Always from the file's start.
 * Node refuses fsync to a guest, so the host, which holds the same file open, makes it durable.
 */
export interface DescriptorFile {
  /** All of it, at most `limit` bytes. @throws Error of the system */
  read(limit: number): Uint8Array;
  /** How many bytes it has. @throws Error of the system */
  size(): number;
  /** Overwrites the beginning; never shortens the file. @throws Error of the system */
  write(content: Uint8Array): void;
}

export function descriptorFile(fd: number): DescriptorFile {
  return {
    read(limit) {
      const bytes = new Uint8Array(limit);
      let length = 0;
      for (;;) {
        const got = readSync(fd, bytes, length, limit - length, length);
        length += got;
        if (got === 0 || length === limit) return bytes.subarray(0, length);
      }
    },
    size: () => fstatSync(fd).size,
    write(content) {
      for (let done = 0; done < content.length;) done += writeSync(fd, content, done, content.length - done, done);
    },
  };
}
