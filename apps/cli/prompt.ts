import type { Readable, Writable } from "node:stream";
import { SecretBytes } from "@casemate/foundation/secrets";
import { usage } from "./failure.ts";

const ENTER = new Set([10, 13]);
const BACKSPACE = new Set([8, 127]);
const CTRL_C = 3;
const CTRL_D = 4;
const MOST_BYTES = 1024;

/** What is asked at: a terminal that is not one has no raw mode. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  readonly stderr: Writable;
}

/** Reads one line from the terminal without showing it. The bytes never become a string. @throws usage error without a terminal. */
export async function askSecret(question: string, { stdin, stderr }: Terminal = process): Promise<SecretBytes> {
  if (stdin.isTTY !== true)
    throw usage(
      "a secret is needed, and there is no terminal to ask at",
      "Name a file that holds it by --passphrase-file FILE or --pin-file FILE.",
    );
  stderr.write(question);
  const typed = new Uint8Array(MOST_BYTES);
  let length = 0;
  stdin.setRawMode?.(true);
  try {
    // It is asked again: what ends here is the line, not the terminal.
    for await (const part of stdin.iterator({ destroyOnReturn: false })) {
      const bytes = part as Uint8Array;
      try {
        for (const byte of bytes) {
          if (byte === CTRL_C || byte === CTRL_D) throw usage("cancelled");
          if (ENTER.has(byte)) return SecretBytes.take(typed.subarray(0, length));
          if (BACKSPACE.has(byte)) length = Math.max(0, length - 1);
          else if (length < MOST_BYTES) typed[length++] = byte;
        }
      } finally {
        bytes.fill(0);
      }
    }
    throw usage("cancelled");
  } finally {
    typed.fill(0);
    stdin.setRawMode?.(false);
    stdin.pause();
    stderr.write("\n");
  }
}
