import { openSync, writeSync } from "node:fs";
import { CasemateError } from "@casemate/foundation/errors";

const NEWLINE = 0x0a;

type Write = (bytes: Uint8Array) => number;

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown";
}

/**
 * Writes each line before it returns, so that nothing is left to flush at the end. Lines that cannot be written, as on a full
 * disk, are dropped and counted; the first that can be written again says how many. The log never stops what it tells about.
 */
export class LogStream {
  readonly #write: Write;
  #dropped = 0;
  #why = "";
  /** A line was cut: the next one starts on its own. */
  #torn = false;

  constructor(write: Write) {
    this.#write = write;
  }

  write(line: string): void {
    try {
      this.#all(Buffer.from(`${this.#torn ? "\n" : ""}${this.#loss()}${line}`));
      this.#dropped = 0;
      this.#torn = false;
    } catch (error) {
      this.#dropped += 1;
      this.#why = codeOf(error);
    }
  }

  #loss(): string {
    if (this.#dropped === 0) return "";
    const entry = {
      level: "warn",
      time: new Date().toISOString(),
      lines: this.#dropped,
      code: this.#why,
      msg: `${this.#dropped} lines of this log were lost: they could not be written`,
    };
    return `${JSON.stringify(entry)}\n`;
  }

  #all(bytes: Uint8Array): void {
    let done = 0;
    while (done < bytes.length) {
      const written = this.#write(bytes.subarray(done));
      // A descriptor that takes nothing and says no error would be asked for ever.
      if (written === 0) throw Object.assign(new Error("nothing was written"), { code: "ENOSPC" });
      done += written;
      this.#torn = bytes[done - 1] !== NEWLINE;
    }
  }
}

/** A file that is appended to, mode 0600, or `-` for standard error. @throws CONFIG_INVALID. */
export function openLogStream(destination: string): LogStream {
  const fd = destination === "-" ? 2 : openFile(destination);
  return new LogStream((bytes) => writeSync(fd, bytes));
}

function openFile(path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (cause) {
    throw new CasemateError("CONFIG_INVALID", `the log ${path} cannot be opened: ${codeOf(cause)}`, {
      hint: "Name another file with --log FILE, or - for standard error.",
      cause,
    });
  }
}
