// Implements: PKCS #11 v3.0 §4.1, attribute values as Casemate holds them, and their way from and to the wire.
import { equalBytes } from "@casemate/foundation/bytes";
import { CKA, valueLength, wireClass, type Attribute, type AttributeValue } from "@casemate/protocols/p11-rpc";
import { failure } from "./status.ts";

/** A boolean, CK_ULONG, bytes (dates too), a template, or a list of mechanisms. */
export type Value = boolean | number | Uint8Array | Template | readonly number[];
/** Attributes by type, as held. */
export type Template = ReadonlyMap<number, Value>;

export function isTemplate(value: Value): value is Template {
  return value instanceof Map;
}

/** Booleans that the wire carries as bytes, because p11-kit's table lacks them. */
const BOOLEAN_BYTES: ReadonlySet<number> = new Set([CKA.DESTROYABLE]);
/** Numbers that the wire carries as eight bytes in the client's order; every client of ours is little-endian. */
const ULONG_BYTES: ReadonlySet<number> = new Set([CKA.NAME_HASH_ALGORITHM, CKA.PARAMETER_SET, CKA.PROFILE_ID]);
const DATES: ReadonlySet<number> = new Set([CKA.START_DATE, CKA.END_DATE]);

/** @throws CKR_ATTRIBUTE_VALUE_INVALID for a date that is in no calendar from 1900 on (CK_DATE, §3.4); an empty one says none. */
export function checkDate(type: number, value: Value): void {
  if (!DATES.has(type) || !(value instanceof Uint8Array) || value.length === 0) return;
  const digits = String.fromCharCode(...value.subarray(0, 8));
  const number = Number(digits);
  const day = new Date(Date.UTC(Math.trunc(number / 10_000), (Math.trunc(number / 100) % 100) - 1, number % 100));
  if (number < 19_000_000 || day.toISOString().slice(0, 10).replaceAll("-", "") !== digits)
    throw failure("ATTRIBUTE_VALUE_INVALID", `no date: ${digits}`);
}

function fromLittleEndian(bytes: Uint8Array): number {
  let value = 0;
  for (let i = bytes.length - 1; i >= 0; i--) value = value * 256 + (bytes[i] ?? 0);
  return value;
}

function toLittleEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  let left = value;
  for (let i = 0; i < 8; i++) {
    bytes[i] = left % 256;
    left = Math.floor(left / 256);
  }
  return bytes;
}

/** One attribute of a caller's template. @throws CKR_ATTRIBUTE_VALUE_INVALID for a wrong length. */
export function fromWire(attribute: Attribute): Value {
  const { type, value, length } = attribute;
  const wrong = (): Error => failure("ATTRIBUTE_VALUE_INVALID", `attribute 0x${type.toString(16)}: length ${length}`);
  if (value === undefined) throw wrong();
  switch (wireClass(type)) {
    case "byte":
      if (length !== 1) throw wrong();
      return value !== 0;
    case "ulong":
      if (length !== 8) throw wrong();
      return value as number;
    case "template":
      return fromWireTemplate(value as readonly Attribute[]);
    case "mechanisms":
      return value as readonly number[];
    case "bytes": {
      const bytes = value as Uint8Array;
      if (BOOLEAN_BYTES.has(type)) {
        if (bytes.length !== 1) throw wrong();
        return bytes[0] !== 0;
      }
      if (ULONG_BYTES.has(type)) {
        if (bytes.length !== 8) throw wrong();
        return fromLittleEndian(bytes);
      }
      if (DATES.has(type) && bytes.length !== 0 && !/^\d{8}$/.test(String.fromCharCode(...bytes.subarray(0, 9)))) {
        throw wrong();
      }
      return bytes;
    }
  }
}

/** A caller's template. @throws CKR_TEMPLATE_INCONSISTENT when an attribute stands there twice with different values. */
export function fromWireTemplate(attributes: readonly Attribute[]): Map<number, Value> {
  const template = new Map<number, Value>();
  for (const attribute of attributes) {
    const value = fromWire(attribute);
    const before = template.get(attribute.type);
    if (before !== undefined && !sameValue(before, value)) {
      throw failure("TEMPLATE_INCONSISTENT", `attribute 0x${attribute.type.toString(16)} twice`);
    }
    template.set(attribute.type, value);
  }
  return template;
}

export function toWireValue(type: number, value: Value): AttributeValue {
  if (typeof value === "boolean") {
    const byte = value ? 1 : 0;
    return wireClass(type) === "byte" ? byte : new Uint8Array([byte]);
  }
  if (typeof value === "number") return wireClass(type) === "ulong" ? value : toLittleEndian(value);
  return isTemplate(value) ? toWireTemplate(value) : value;
}

export function toWireTemplate(template: Template): Attribute[] {
  return [...template].map(([type, value]) => {
    const wire = toWireValue(type, value);
    return { type, value: wire, length: valueLength(type, wire) };
  });
}

export function sameValue(a: Value, b: Value): boolean {
  if (a instanceof Uint8Array) return b instanceof Uint8Array && equalBytes(a, b);
  if (typeof a !== "object") return a === b;
  if (typeof b !== "object" || b instanceof Uint8Array) return false;
  if (isTemplate(a)) {
    if (!isTemplate(b) || a.size !== b.size) return false;
    return [...a].every(([type, value]) => {
      const other = b.get(type);
      return other !== undefined && sameValue(value, other);
    });
  }
  return !isTemplate(b) && a.length === b.length && a.every((mechanism, i) => b[i] === mechanism);
}

/** A text that is the same for equal values of one attribute and differs for others: the key of an index. */
export function valueKey(value: Value): string {
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1");
  if (typeof value !== "object") return String(value);
  if (!isTemplate(value)) return value.join();
  return [...value]
    .map(([type, inner]) => `${type}=${valueKey(inner)}`)
    .toSorted()
    .join();
}

export function booleanOf(template: Template, type: number): boolean | undefined {
  const value = template.get(type);
  return typeof value === "boolean" ? value : undefined;
}
export function numberOf(template: Template, type: number): number | undefined {
  const value = template.get(type);
  return typeof value === "number" ? value : undefined;
}
export function bytesOf(template: Template, type: number): Uint8Array | undefined {
  const value = template.get(type);
  return value instanceof Uint8Array ? value : undefined;
}

/** Bytes that the values of a template hold; numbers and booleans are small. */
export function bytesIn(template: Template): number {
  let bytes = 0;
  for (const value of template.values()) {
    if (value instanceof Uint8Array) bytes += value.length;
    else if (isTemplate(value)) bytes += bytesIn(value);
  }
  return bytes;
}
