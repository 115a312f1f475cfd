import { CasemateError } from "@casemate/foundation/errors";
import { fromUtf8, toUtf8 } from "@casemate/foundation/bytes";
import type { Codec } from "./codec.ts";

function unfit(name: string, problem: string): CasemateError {
  return new CasemateError("DECODE_INVALID", `${name}: ${problem}`);
}

function checked(name: string, value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max) throw unfit(name, `${value} is not within 0..${max}`);
  return value;
}

export const u8: Codec<number> = {
  name: "u8",
  read: (reader) => reader.u8(),
  write: (writer, value) => writer.u8(checked("u8", value, 0xff)),
};

export const u16: Codec<number> = {
  name: "u16",
  read: (reader) => reader.u16(),
  write: (writer, value) => writer.u16(checked("u16", value, 0xffff)),
};

export const u32: Codec<number> = {
  name: "u32",
  read: (reader) => reader.u32(),
  write: (writer, value) => writer.u32(checked("u32", value, 0xffffffff)),
};

export const u64: Codec<bigint> = {
  name: "u64",
  read: (reader) => reader.u64(),
  write(writer, value) {
    if (value < 0n || value > 0xffffffffffffffffn) throw unfit("u64", `${value} does not fit`);
    writer.u64(value);
  },
};

/** One byte, 0 or 1; anything else is refused. */
export const bool8: Codec<boolean> = {
  name: "bool8",
  read(reader) {
    const value = reader.u8();
    if (value > 1) throw reader.invalid(`${value} is neither 0 nor 1`);
    return value === 1;
  },
  write: (writer, value) => writer.u8(value ? 1 : 0),
};

/** Exactly `length` bytes. */
export function fixed(length: number): Codec<Uint8Array> {
  return {
    name: `bytes[${length}]`,
    read: (reader) => reader.take(length),
    write(writer, value) {
      if (value.length !== length) throw unfit(`bytes[${length}]`, `got ${value.length} bytes`);
      writer.raw(value);
    },
  };
}

/** Bytes behind their length; longer than `max` is refused before anything is read. */
export function bytes(prefix: Codec<number>, max: number): Codec<Uint8Array> {
  return {
    name: `bytes<=${max}`,
    read(reader, scope) {
      const length = prefix.read(reader, scope);
      if (length > max) throw reader.invalid(`${length} bytes, at most ${max} allowed`);
      return reader.take(length);
    },
    write(writer, value, scope) {
      if (value.length > max) throw unfit(`bytes<=${max}`, `got ${value.length} bytes`);
      prefix.write(writer, value.length, scope);
      writer.raw(value);
    },
  };
}

/** Well-formed UTF-8 behind its length in bytes. */
export function utf8(prefix: Codec<number>, max: number): Codec<string> {
  const inner = bytes(prefix, max);
  return {
    name: `utf8<=${max}`,
    read(reader, scope) {
      const raw = inner.read(reader, scope);
      try {
        return fromUtf8(raw);
      } catch {
        throw reader.invalid("not well-formed UTF-8");
      }
    },
    write: (writer, value, scope) => inner.write(writer, toUtf8(value), scope),
  };
}

/** All that is left. */
export const rest: Codec<Uint8Array> = {
  name: "rest",
  read: (reader) => reader.take(reader.left),
  write: (writer, value) => writer.raw(value),
};

/** A closed set of names, each with its number. */
export function enumOf<const T extends Record<string, number>>(
  name: string,
  prefix: Codec<number>,
  names: T,
): Codec<keyof T & string> {
  const byNumber = new Map(Object.entries(names).map(([key, number]) => [number, key]));
  return {
    name,
    read(reader, scope) {
      const number = prefix.read(reader, scope);
      const key = byNumber.get(number);
      if (key === undefined) throw reader.invalid(`${number} is not a ${name}`);
      return key;
    },
    write(writer, value, scope) {
      const number = Object.hasOwn(names, value) ? names[value] : undefined;
      if (number === undefined) throw unfit(name, `${value} is not one`);
      prefix.write(writer, number, scope);
    },
  };
}

/** Named bits; a set bit without a name is refused. */
export function flags<const T extends Record<string, number>>(
  name: string,
  prefix: Codec<number>,
  bits: T,
): Codec<Record<keyof T & string, boolean>> {
  const entries = Object.entries(bits);
  return {
    name,
    read(reader, scope) {
      let left = prefix.read(reader, scope);
      const value: Record<string, boolean> = {};
      for (const [key, bit] of entries) {
        value[key] = ((left >>> bit) & 1) === 1;
        left = (left & ~(1 << bit)) >>> 0;
      }
      if (left !== 0) throw reader.invalid(`reserved bits of ${name} are set`);
      return value as Record<keyof T & string, boolean>;
    },
    write(writer, value, scope) {
      let number = 0;
      for (const [key, bit] of entries) if (value[key as keyof T & string]) number |= 1 << bit;
      prefix.write(writer, number >>> 0, scope);
    },
  };
}
