// Implements: p11-kit RPC, CK_ULONG as 64 bits big-endian.
import { type Reader, type Writer } from "@casemate/foundation/codec";

const HIGH = 2 ** 32;

/** A CK_ULONG as a number: exact below 2^53, and all ones becomes CK_UNAVAILABLE. */
export function readU64(reader: Reader): number {
  const high = reader.u32();
  return high * HIGH + reader.u32();
}

export function writeU64(writer: Writer, value: number): void {
  if (value >= 2 ** 64) {
    writer.u32(0xffffffff);
    writer.u32(0xffffffff);
    return;
  }
  writer.u32(Math.floor(value / HIGH));
  writer.u32(value % HIGH);
}
