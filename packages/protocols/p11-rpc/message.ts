// Implements: p11-kit RPC, message bodies: call number, signature, values (p11-kit/rpc-message.c, rpc-client.c, rpc-server.c).
import { Reader, type Writer } from "@casemate/foundation/codec";
import { CasemateError } from "@casemate/foundation/errors";
import {
  readAttributeBuffers,
  readNestingBuffers,
  readAttributes,
  readBytes,
  writeAttributeBuffers,
  writeAttributes,
  type Attribute,
  type AttributeBuffer,
} from "./attribute.ts";
import { CALLS, callById, callNamed, ERROR_CALL, type CallName, type CallRow } from "./calls.ts";
import type { ReplySignature, RequestSignature } from "./calls.ts";
import { RPC_LIMITS, type RpcVersion } from "./limits.ts";
import { readMechanism, writeMechanism, writeParameterUpdate, type Mechanism } from "./mechanism.ts";
import { readU64, writeU64 } from "./numbers.ts";
import {
  NULL_BYTES,
  SIZE_QUERY,
  type Letter,
  type ReplyValues,
  type RequestValues,
  type Version,
} from "./signature.ts";

const latin1 = (bytes: Uint8Array): string => {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
};
const utf8 = new TextDecoder();
const encoder = new TextEncoder();

/** How the client writes the length of a NULL pointer without a length: it is present, and all ones. */
const NO_BYTES = 0xffffffff;

function readByteArray(reader: Reader): Uint8Array | undefined {
  const present = reader.u8();
  const length = reader.u32();
  if (present === 0) return length === 0 ? NULL_BYTES : undefined;
  if (length === NO_BYTES) return NULL_BYTES;
  if (length > RPC_LIMITS.arrayBytes) throw reader.invalid(`${length} bytes, at most ${RPC_LIMITS.arrayBytes} allowed`);
  return reader.take(length);
}

function readUlongArray(reader: Reader): readonly number[] | undefined {
  const present = reader.u8();
  const count = reader.u32();
  if (present === 0) return undefined;
  if (count > RPC_LIMITS.ulongs) throw reader.invalid(`${count} numbers, at most ${RPC_LIMITS.ulongs} allowed`);
  if (reader.left < count * 8) throw reader.invalid(`${count} numbers, ${reader.left} bytes left`);
  return Array.from({ length: count }, () => readU64(reader));
}

/** Room for bytes: 0 is a NULL pointer; newer clients send all ones for a pointer with no room. */
function readCapacity(reader: Reader): number {
  const room = reader.u32();
  return room === 0 ? SIZE_QUERY : room === 0xffffffff ? 0 : room;
}

function readText(reader: Reader): string | undefined {
  const bytes = readBytes(reader, RPC_LIMITS.attributeBytes);
  return bytes === undefined ? undefined : utf8.decode(bytes);
}

/** One reader per letter, as a request uses them. */
const READ: Readonly<Record<Letter, (reader: Reader, version: RpcVersion) => unknown>> = {
  y: (reader) => reader.u8(),
  u: readU64,
  v: (reader) => ({ major: reader.u8(), minor: reader.u8() }),
  s: readText,
  z: readText,
  M: readMechanism,
  // What follows is made of eight bytes each.
  P: (reader) => (reader.left % 8 === 1 ? void reader.u8() : undefined),
  ay: readByteArray,
  au: readUlongArray,
  aA: (reader, version) => readAttributes(reader, version),
  fy: readCapacity,
  fu: readCapacity,
  fA: (reader, version) => (version >= 1 ? readNestingBuffers(reader) : readAttributeBuffers(reader, "none")),
};

/** The readers of a request by its call number, looked up once. */
const READERS: ReadonlyMap<number, readonly (typeof READ)[Letter][]> = new Map(
  CALLS.map(({ id, requestLetters }) => [id, requestLetters.map((letter) => READ[letter])]),
);

function writeRoom(writer: Writer, capacity: number): void {
  writer.u32(capacity === SIZE_QUERY ? 0 : capacity === 0 ? 0xffffffff : capacity);
}

const WRITE: Readonly<Record<Letter, (writer: Writer, value: unknown, version: RpcVersion) => void>> = {
  y: (writer, value) => writer.u8(value as number),
  u: (writer, value) => writeU64(writer, value as number),
  v(writer, value) {
    const version = value as Version;
    writer.u8(version.major);
    writer.u8(version.minor);
  },
  s(writer, value) {
    const bytes = encoder.encode(value as string);
    writer.u32(bytes.length);
    writer.raw(bytes);
  },
  z(writer, value) {
    if (value === undefined) return writer.u32(0xffffffff);
    const bytes = encoder.encode(value as string);
    writer.u32(bytes.length);
    writer.raw(bytes);
  },
  M: (writer, value, version) => writeMechanism(writer, value as Mechanism, version),
  P: (writer, value) => writeParameterUpdate(writer, value as number | undefined),
  ay(writer, value) {
    if (value === undefined || value === NULL_BYTES || typeof value === "number") {
      writer.u8(0);
      return writer.u32(typeof value === "number" ? value : 0);
    }
    const bytes = value as Uint8Array;
    writer.u8(1);
    writer.u32(bytes.length);
    writer.raw(bytes);
  },
  au(writer, value) {
    if (typeof value === "number" || value === undefined) {
      writer.u8(0);
      return writer.u32(value ?? 0);
    }
    const numbers = value as readonly number[];
    writer.u8(1);
    writer.u32(numbers.length);
    for (const number of numbers) writeU64(writer, number);
  },
  aA: (writer, value) => writeAttributes(writer, value as readonly Attribute[]),
  fy: (writer, value) => writeRoom(writer, value as number),
  fu: (writer, value) => writeRoom(writer, value as number),
  fA: (writer, value) => writeAttributeBuffers(writer, value as readonly AttributeBuffer[]),
};

export interface Request {
  readonly call: CallRow;
  readonly values: readonly unknown[];
}

function checkSignature(reader: Reader, expected: string): void {
  const length = reader.u32();
  if (length === expected.length && length <= reader.left) {
    const bytes = reader.take(length);
    let same = true;
    for (let i = 0; i < length; i++) same &&= bytes[i] === expected.charCodeAt(i);
    if (same) return;
    throw reader.invalid(`signature ${JSON.stringify(latin1(bytes))}, expected "${expected}"`);
  }
  if (length > RPC_LIMITS.signatureBytes) throw reader.invalid(`a signature of ${length} bytes`);
  const signature = latin1(reader.take(length));
  if (signature !== expected) throw reader.invalid(`signature ${JSON.stringify(signature)}, expected "${expected}"`);
}

/** The call number of a body, without trusting the rest. @throws DECODE_TRUNCATED. */
export function peekCall(body: Uint8Array): number {
  return new Reader(body).u32();
}

/**
 * Decodes a request. Byte arrays are views into `body`.
 * @throws DECODE_TRUNCATED, DECODE_TRAILING, DECODE_INVALID; NOT_SUPPORTED for a call that this version does not have.
 */
export function decodeRequest(body: Uint8Array, version: RpcVersion): Request {
  const reader = new Reader(body);
  const id = reader.u32();
  const call = callById(id, version);
  if (call === undefined) throw new CasemateError("NOT_SUPPORTED", `no call ${id} in version ${version}`);
  checkSignature(reader, call.request);
  const values: unknown[] = [];
  for (const read of READERS.get(id) ?? []) values.push(read(reader, version));
  reader.finish();
  return { call, values };
}

function writeBody(
  writer: Writer,
  id: number,
  signature: string,
  letters: readonly Letter[],
  values: readonly unknown[],
  version: RpcVersion,
): void {
  writer.u32(id);
  writer.u32(signature.length);
  for (let i = 0; i < signature.length; i++) writer.u8(signature.charCodeAt(i));
  for (let i = 0; i < letters.length; i++) WRITE[letters[i] as Letter](writer, values[i], version);
}

/** Appends a reply's body. */
export function writeReply(writer: Writer, call: CallRow, values: readonly unknown[], version: RpcVersion): void {
  writeBody(writer, call.id, call.reply, call.replyLetters, values, version);
}

/** Appends an error's body: `code` is a CKR other than OK. */
export function writeErrorReply(writer: Writer, code: number): void {
  writer.u32(ERROR_CALL);
  writer.u32(1);
  writer.u8(0x75); // "u"
  writeU64(writer, code);
}

/** Appends a request's body: the client's half, for the bridge and for tests. */
export function writeRequest<N extends CallName>(
  writer: Writer,
  name: N,
  values: RequestValues<RequestSignature<N>>,
  version: RpcVersion,
): void {
  const call = callNamed(name);
  writeBody(writer, call.id, call.request, call.requestLetters, values, version);
}

export type Reply<N extends CallName> =
  | { readonly ok: true; readonly values: ReplyValues<ReplySignature<N>> }
  | { readonly ok: false; readonly code: number };

/** Decodes an answer to `name`. Byte arrays that only carry a length become that number. */
export function decodeReply<N extends CallName>(body: Uint8Array, name: N, version: RpcVersion): Reply<N> {
  const reader = new Reader(body);
  const id = reader.u32();
  if (id === ERROR_CALL) {
    checkSignature(reader, "u");
    return { ok: false, code: readU64(reader) };
  }
  const call = callNamed(name);
  if (id !== call.id) throw reader.invalid(`an answer to call ${id}, expected ${call.id}`);
  checkSignature(reader, call.reply);
  const values: unknown[] = [];
  for (const letter of call.replyLetters) {
    if (letter === "ay" || letter === "au") {
      const present = reader.u8();
      const length = reader.u32();
      if (present === 0) values.push(length);
      else if (letter === "ay") values.push(reader.take(length));
      else {
        if (reader.left < length * 8) throw reader.invalid(`${length} numbers, ${reader.left} bytes left`);
        values.push(Array.from({ length }, () => readU64(reader)));
      }
    } else values.push(READ[letter](reader, version));
  }
  reader.finish();
  return { ok: true, values: values as unknown as ReplyValues<ReplySignature<N>> };
}
