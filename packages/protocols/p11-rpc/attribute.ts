// Implements: p11-kit RPC, attributes (map_attribute_to_value_type and the serializers of p11-kit/rpc-message.c).
import { Reader, Writer } from "@casemate/foundation/codec";
import { isCasemateError } from "@casemate/foundation/errors";
import { CKA } from "./cryptoki.ts";
import { RPC_LIMITS, type RpcVersion } from "./limits.ts";
import { readU64, writeU64 } from "./numbers.ts";

/** How the wire carries an attribute's value. Whatever is not in the table travels as bytes in the client's own order. */
export type WireClass = "byte" | "ulong" | "template" | "mechanisms" | "bytes";

export type AttributeValue = Uint8Array | number | readonly Attribute[] | readonly number[];

/**
 * One CK_ATTRIBUTE. `value` is a number for the classes byte and ulong, attributes for a template, numbers for a
 * mechanism list and bytes otherwise; `undefined` when the wire marked it as not available.
 */
export interface Attribute {
  readonly type: number;
  readonly value: AttributeValue | undefined;
  /** Length in the caller's memory: 8 for a CK_ULONG of a 64-bit client. */
  readonly length: number;
}

/** What C_GetAttributeValue asks for: a type and the room for it; -1 asks for the size alone. */
export interface AttributeBuffer {
  readonly type: number;
  readonly capacity: number;
  /** Present for template attributes of newer clients: what they ask for inside. */
  readonly nested?: readonly AttributeBuffer[];
}

const named = (names: string): number[] =>
  names.split(/\s+/).map((name) => {
    const type = CKA[name as keyof typeof CKA];
    if (type === undefined) throw new TypeError(`no attribute ${name}`);
    return type;
  });

const CLASSES: ReadonlyMap<number, WireClass> = new Map([
  ...named(
    "TOKEN PRIVATE TRUSTED SENSITIVE ENCRYPT DECRYPT WRAP UNWRAP SIGN SIGN_RECOVER VERIFY VERIFY_RECOVER DERIVE " +
      "EXTRACTABLE LOCAL NEVER_EXTRACTABLE ALWAYS_SENSITIVE MODIFIABLE COPYABLE SECONDARY_AUTH ALWAYS_AUTHENTICATE " +
      "WRAP_WITH_TRUSTED RESET_ON_INIT HAS_RESET COLOR",
  ).map((type): [number, WireClass] => [type, "byte"]),
  ...named(
    "CLASS CERTIFICATE_TYPE CERTIFICATE_CATEGORY JAVA_MIDP_SECURITY_DOMAIN KEY_TYPE MODULUS_BITS PRIME_BITS " +
      "SUB_PRIME_BITS VALUE_BITS VALUE_LEN KEY_GEN_MECHANISM AUTH_PIN_FLAGS HW_FEATURE_TYPE PIXEL_X PIXEL_Y " +
      "RESOLUTION CHAR_ROWS CHAR_COLUMNS BITS_PER_PIXEL MECHANISM_TYPE",
  ).map((type): [number, WireClass] => [type, "ulong"]),
  ...named("WRAP_TEMPLATE UNWRAP_TEMPLATE DERIVE_TEMPLATE").map((type): [number, WireClass] => [type, "template"]),
  [CKA.ALLOWED_MECHANISMS, "mechanisms"],
]);

export function wireClass(type: number): WireClass {
  return CLASSES.get(type) ?? "bytes";
}

/**
 * Attributes that no object here has, but whose values newer clients carry otherwise than as bytes: IBM's of pkcs11x.h from
 * 0.25 on. Those must be read to get behind them.
 */
const FOREIGN_BYTES: ReadonlySet<number> = new Set(
  [0x10001, 0x10002, 0x10003, 0x10004, 0x10008, 0x1000c, 0x1000d].map((type) => 0x80000000 + type),
);
/** As numbers: IBM's, and those of PKCS #11 v3.1 and v3.2 (CKA_PARAMETER_SET, CKA_HSS_…), which 0.26 may carry either way. */
const FOREIGN_NUMBERS: ReadonlySet<number> = new Set([
  ...[0x10005, 0x1000a, 0xd0001, 0xd0009, 0xd0101].map((type) => 0x80000000 + type),
  0x617,
  0x618,
  0x619,
  0x61c,
  0x61d,
]);

/** The bytes in the client's memory, as all unknown values are held. Undefined where this one travels as bytes. */
function readForeign(reader: Reader, type: number, length: number): Uint8Array | undefined {
  if (FOREIGN_BYTES.has(type)) return new Uint8Array([reader.u8()]).subarray(0, length);
  if (!FOREIGN_NUMBERS.has(type)) return undefined;
  const start = reader.u32();
  // As bytes its length comes first, and so large is none of these numbers. A NULL pointer has all ones.
  if (length > 0 && start === length) return reader.take(length).slice();
  if (length === 0 && start === NULL_LENGTH) return new Uint8Array(0);
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, start, true);
  view.setUint32(0, reader.u32(), true);
  return bytes.subarray(0, length);
}

const NULL_LENGTH = 0xffffffff;

/** u32 length and bytes; all ones is NULL, read as undefined. */
export function readBytes(reader: Reader, max: number): Uint8Array | undefined {
  const length = reader.u32();
  if (length === NULL_LENGTH) return undefined;
  if (length > max) throw reader.invalid(`${length} bytes, at most ${max} allowed`);
  return reader.take(length);
}

export function writeBytes(writer: Writer, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) return writer.u32(NULL_LENGTH);
  writer.u32(bytes.length);
  writer.raw(bytes);
}

function readValue(reader: Reader, type: number, length: number, version: RpcVersion, depth: number): AttributeValue {
  const foreign = version === 0 ? undefined : readForeign(reader, type, length);
  if (foreign !== undefined) return foreign;
  switch (wireClass(type)) {
    case "byte":
      return reader.u8();
    case "ulong":
      return readU64(reader);
    case "template":
      return readAttributes(reader, version, depth + 1);
    case "mechanisms": {
      const count = reader.u32();
      if (count > RPC_LIMITS.ulongs) throw reader.invalid(`${count} mechanisms`);
      // A size query names a count and sends no items.
      if (reader.left < count * 8) throw reader.invalid(`${count} mechanisms, ${reader.left} bytes left`);
      return Array.from({ length: count }, () => readU64(reader));
    }
    case "bytes": {
      const bytes = readBytes(reader, RPC_LIMITS.attributeBytes);
      if (bytes !== undefined) return bytes.slice();
      if (length !== 0) throw reader.invalid(`a NULL value of ${length} bytes`);
      return new Uint8Array(0);
    }
  }
}

function readAttribute(reader: Reader, version: RpcVersion, depth: number): Attribute {
  const type = reader.u32();
  if (reader.u8() === 0) return { type, value: undefined, length: -1 };
  const length = reader.u32();
  return { type, value: readValue(reader, type, length, version, depth), length };
}

/** u32 count and attributes, nested at most `RPC_LIMITS.depth` deep. */
export function readAttributes(reader: Reader, version: RpcVersion, depth = 0): readonly Attribute[] {
  if (depth > RPC_LIMITS.depth) throw reader.invalid(`templates nested deeper than ${RPC_LIMITS.depth}`);
  const count = reader.u32();
  if (count > RPC_LIMITS.attributes) throw reader.invalid(`${count} attributes, at most ${RPC_LIMITS.attributes}`);
  const attributes: Attribute[] = [];
  for (let i = 0; i < count; i++) attributes.push(readAttribute(reader, version, depth));
  return attributes;
}

/** The length of a value in the memory of a 64-bit client. */
export function valueLength(type: number, value: AttributeValue): number {
  switch (wireClass(type)) {
    case "byte":
      return 1;
    case "ulong":
      return 8;
    case "template":
      return 24 * (value as readonly Attribute[]).length;
    case "mechanisms":
      return 8 * (value as readonly number[]).length;
    case "bytes":
      return (value as Uint8Array).length;
  }
}

function writeAttribute(writer: Writer, attribute: Attribute): void {
  writer.u32(attribute.type);
  const { value } = attribute;
  writer.u8(value === undefined ? 0 : 1);
  if (value === undefined) return;
  writer.u32(valueLength(attribute.type, value));
  switch (wireClass(attribute.type)) {
    case "byte":
      return writer.u8(value as number);
    case "ulong":
      return writeU64(writer, value as number);
    case "template":
      return writeAttributes(writer, value as readonly Attribute[]);
    case "mechanisms":
      writer.u32((value as readonly number[]).length);
      for (const mechanism of value as readonly number[]) writeU64(writer, mechanism);
      return;
    case "bytes":
      return writeBytes(writer, value as Uint8Array);
  }
}

export function writeAttributes(writer: Writer, attributes: readonly Attribute[]): void {
  writer.u32(attributes.length);
  for (const attribute of attributes) writeAttribute(writer, attribute);
}

/** Which templates are followed by what is asked inside: none (version 0), those with room, or all (0.25.5 does so). */
type Nesting = "none" | "with-room" | "all";

/** u32 count × (type, room), then the next one inside where there is one. Of a template without room there is nothing inside. */
export function readAttributeBuffers(reader: Reader, nests: Nesting, depth = 0): readonly AttributeBuffer[] {
  if (depth > RPC_LIMITS.depth) throw reader.invalid(`templates nested deeper than ${RPC_LIMITS.depth}`);
  const count = reader.u32();
  if (count > RPC_LIMITS.attributes) throw reader.invalid(`${count} attributes, at most ${RPC_LIMITS.attributes}`);
  const buffers: AttributeBuffer[] = [];
  for (let i = 0; i < count; i++) {
    const type = reader.u32();
    const room = reader.u32();
    const capacity = room === 0 ? -1 : room;
    const follows = nests === "all" || (nests === "with-room" && room !== 0);
    const nested =
      follows && wireClass(type) === "template" ? readAttributeBuffers(reader, nests, depth + 1) : undefined;
    buffers.push({ type, capacity, ...(room === 0 || nested === undefined ? {} : { nested }) });
  }
  return buffers;
}

/** What fills the rest of a message, as clients of version 1 and later write it; the length tells in which of the two ways. */
export function readNestingBuffers(reader: Reader): readonly AttributeBuffer[] {
  const bytes = reader.take(reader.left);
  const wholly = (nests: Nesting): readonly AttributeBuffer[] => {
    const own = new Reader(bytes);
    const buffers = readAttributeBuffers(own, nests);
    own.finish();
    return buffers;
  };
  try {
    return wholly("with-room");
  } catch (error) {
    if (!isCasemateError(error)) throw error;
    return wholly("all");
  }
}

export function writeAttributeBuffers(writer: Writer, buffers: readonly AttributeBuffer[]): void {
  writer.u32(buffers.length);
  for (const buffer of buffers) {
    writer.u32(buffer.type);
    writer.u32(buffer.capacity < 0 ? 0 : buffer.capacity);
    if (buffer.nested !== undefined) writeAttributeBuffers(writer, buffer.nested);
  }
}

/** Attributes as bytes that stand alone: how objects are kept. */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  const writer = new Writer();
  writeAttributes(writer, attributes);
  return writer.finish();
}

/** @throws DECODE_TRUNCATED, DECODE_TRAILING, DECODE_INVALID. */
export function decodeAttributes(bytes: Uint8Array): readonly Attribute[] {
  const reader = new Reader(bytes);
  const attributes = readAttributes(reader, 0);
  reader.finish();
  return attributes;
}
