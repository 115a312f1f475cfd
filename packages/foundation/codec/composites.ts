import { CasemateError } from "@casemate/foundation/errors";
import type { Codec, Infer } from "./codec.ts";
import { Writer } from "./writer.ts";

type Fields = Readonly<Record<string, Codec<unknown>>>;
type AnyCodec = Codec<unknown>;
type Structure<F> = { -readonly [K in keyof F]: Infer<F[K]> };

/** Fields in order. `spec` names where the layout stands. */
export function struct<const F extends Fields>(
  name: string,
  spec: string,
  fields: F,
): Codec<Structure<F>> & { readonly spec: string } {
  const entries = Object.entries(fields) as [string, AnyCodec][];
  return {
    name,
    spec,
    read(reader) {
      const value: Record<string, unknown> = {};
      for (const [key, codec] of entries) {
        reader.enter(key);
        value[key] = codec.read(reader, value);
        reader.leave();
      }
      return value as Structure<F>;
    },
    write(writer, value) {
      const record = value as Record<string, unknown>;
      for (const [key, codec] of entries) codec.write(writer, record[key], record);
    },
  };
}

/** A value behind its own length in bytes; the value must fill it. */
export function sized<T>(prefix: Codec<number>, inner: Codec<T>): Codec<T> {
  return {
    name: `sized ${inner.name}`,
    read(reader, scope) {
      const confined = reader.slice(prefix.read(reader, scope));
      const value = inner.read(confined, scope);
      confined.finish();
      return value;
    },
    write(writer, value, scope) {
      const body = new Writer();
      inner.write(body, value, scope);
      prefix.write(writer, body.length, scope);
      writer.raw(body.view());
    },
  };
}

/** Items behind their count; more than `max` is refused before the first is read. */
export function list<T>(prefix: Codec<number>, item: Codec<T>, max: number): Codec<T[]> {
  return {
    name: `list of ${item.name}`,
    read(reader, scope) {
      const count = prefix.read(reader, scope);
      if (count > max) throw reader.invalid(`${count} items, at most ${max} allowed`);
      const items: T[] = [];
      for (let i = 0; i < count; i++) {
        reader.enter(i);
        items.push(item.read(reader, scope));
        reader.leave();
      }
      return items;
    },
    write(writer, value, scope) {
      if (value.length > max)
        throw new CasemateError("DECODE_INVALID", `list: ${value.length} items, at most ${max} allowed`);
      prefix.write(writer, value.length, scope);
      for (const element of value) item.write(writer, element, scope);
    },
  };
}

/** A presence byte, then perhaps the value. */
export function optional<T>(inner: Codec<T>): Codec<T | undefined> {
  return {
    name: `optional ${inner.name}`,
    read(reader, scope) {
      const present = reader.u8();
      if (present > 1) throw reader.invalid(`${present} is neither 0 nor 1`);
      return present === 1 ? inner.read(reader, scope) : undefined;
    },
    write(writer, value, scope) {
      writer.u8(value === undefined ? 0 : 1);
      if (value !== undefined) inner.write(writer, value, scope);
    },
  };
}

/** The layout is chosen by the value of an earlier field of the same struct. */
export function select<const C extends Readonly<Record<string, Codec<unknown>>>>(
  field: string,
  cases: C,
): Codec<Infer<C[keyof C]>> {
  const byValue = new Map(Object.entries(cases) as [string, AnyCodec][]);
  const choose = (scope: Readonly<Record<string, unknown>>): AnyCodec => {
    const chosen = byValue.get(String(scope[field]));
    if (chosen === undefined)
      throw new CasemateError("DECODE_INVALID", `${field}: no layout for ${String(scope[field])}`);
    return chosen;
  };
  return {
    name: `select ${field}`,
    read: (reader, scope) => choose(scope).read(reader, scope) as Infer<C[keyof C]>,
    write: (writer, value, scope) => choose(scope).write(writer, value, scope),
  };
}

type Tagged<C> = {
  [K in keyof C]: { kind: K } & (C[K] extends readonly [number, infer B] ? Infer<B> : never);
}[keyof C];

/** A union whose number comes first: `{ kind, ...fields }`. */
export function tagged<const C extends Readonly<Record<string, readonly [number, Codec<unknown>]>>>(
  name: string,
  prefix: Codec<number>,
  cases: C,
): Codec<Tagged<C>> {
  const byKind = new Map(Object.entries(cases) as unknown as [string, readonly [number, AnyCodec]][]);
  const byNumber = new Map([...byKind].map(([kind, [number, codec]]) => [number, [kind, codec] as const]));
  return {
    name,
    read(reader, scope) {
      const number = prefix.read(reader, scope);
      const found = byNumber.get(number);
      if (found === undefined) throw reader.invalid(`${number} is not a ${name}`);
      const [kind, codec] = found;
      reader.enter(kind);
      const value = codec.read(reader, scope) as object;
      reader.leave();
      return { kind, ...value } as Tagged<C>;
    },
    write(writer, value, scope) {
      const found = byKind.get((value as { kind: string }).kind);
      if (found === undefined) throw new CasemateError("DECODE_INVALID", `${name}: no such kind`);
      prefix.write(writer, found[0], scope);
      found[1].write(writer, value, scope);
    },
  };
}
