import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

/** How one type of value is laid out in bytes. `scope` is the struct decoded so far, for selectors. */
export interface Codec<T> {
  readonly name: string;
  read(reader: Reader, scope: Readonly<Record<string, unknown>>): T;
  write(writer: Writer, value: T, scope: Readonly<Record<string, unknown>>): void;
}

/** The type of the values a codec reads and writes. */
export type Infer<C> = C extends Codec<infer T> ? T : never;

const noScope: Readonly<Record<string, unknown>> = Object.freeze({});

/** Decodes all of `input`. @throws CasemateError DECODE_TRUNCATED, DECODE_INVALID or DECODE_TRAILING. */
export function decode<T>(codec: Codec<T>, input: Uint8Array): T {
  const reader = new Reader(input);
  reader.enter(codec.name);
  const value = codec.read(reader, noScope);
  reader.leave();
  reader.finish();
  return value;
}

/** A spare buffer larger than this is not kept. */
const KEEP_BYTES = 1024 * 1024;
/** One buffer serves all calls: to allocate and grow one each time costs more than most messages. */
let spare: Writer | undefined;

/** @throws CasemateError DECODE_INVALID when the value does not fit its codec. */
export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = spare ?? new Writer(4096);
  spare = undefined;
  try {
    codec.write(writer, value, noScope);
    return writer.finish();
  } finally {
    // What was encoded may be secret: only the caller's copy stays.
    writer.wipe();
    if (writer.capacity <= KEEP_BYTES) spare = writer;
  }
}
