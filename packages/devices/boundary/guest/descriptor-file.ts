import { fsyncSync, readSync, writeSync } from "node:fs";

/** A small file whose open descriptor the host passed on: the guest may open none itself. Always from the file's start. */
export interface DescriptorFile {
  /** All of it, at most `limit` bytes. @throws Error of the system */
  read(limit: number): Uint8Array;
  /** Overwrites the beginning; never shortens the file. `durable` waits until it is on the disk. */
  write(content: Uint8Array, durable: boolean): void;
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
    write(content, durable) {
      for (let done = 0; done < content.length;) done += writeSync(fd, content, done, content.length - done, done);
      if (durable) fsyncSync(fd);
    },
  };
}
