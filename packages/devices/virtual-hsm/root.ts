/** The port behind which the root of trust stands, and what is derived from a root secret. */
import { hkdfSync } from "node:crypto";
import { toUtf8 } from "@casemate/foundation/bytes";

export const ROOT_BYTES = 32;

/** The key file's descriptor as the guest sees it. Positional: always from the start. */
export interface RootFile {
  /** All of it, at most `limit` bytes. */
  read(limit: number): Uint8Array;
  /** How many bytes it has. */
  size(): number;
  /** Overwrites the beginning. The host makes it durable. */
  write(content: Uint8Array): void;
}

export interface RootKeys {
  readonly blobs: Uint8Array;
  readonly state: Uint8Array;
}

const derive = (root: Uint8Array, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", root, new Uint8Array(), toUtf8(`casemate virtual HSM ${purpose} v1`), 32));

/** One key per purpose, so that no two kinds of sealed bytes can stand in for each other. */
export function deriveRootKeys(root: Uint8Array): RootKeys {
  return { blobs: derive(root, "key reference"), state: derive(root, "device state") };
}
