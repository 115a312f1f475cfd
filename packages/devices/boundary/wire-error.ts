// How an error crosses the channel: the status byte is the code's number, the body holds message, hint and details.
import {
  bool8,
  decode,
  encode,
  enumOf,
  list,
  optional,
  select,
  struct,
  u16,
  u64,
  u8,
  utf8,
} from "@casemate/foundation/codec";
import { CasemateError, asCasemateError, type ErrorCode } from "@casemate/foundation/errors";

export const STATUS_OK = 0;

/** Numbers are part of the channel's format: append, never renumber. */
const STATUS = {
  BAD_REQUEST: 1,
  DECODE_TRUNCATED: 2,
  DECODE_TRAILING: 3,
  DECODE_INVALID: 4,
  TOO_LARGE: 5,
  UNAUTHENTICATED: 6,
  TOKEN_EXPIRED: 7,
  PIN_WRONG: 8,
  PIN_LOCKED: 9,
  FORBIDDEN: 10,
  NOT_FOUND: 11,
  ALREADY_EXISTS: 12,
  CONFLICT: 13,
  IDEMPOTENCY_MISMATCH: 14,
  NOT_SUPPORTED: 15,
  KEY_STATE: 16,
  KEY_USAGE: 17,
  KEY_LIMIT: 18,
  NOT_EXPORTABLE: 19,
  DECRYPT_FAILED: 20,
  DEVICE_LOCKED: 21,
  DEVICE_TAMPERED: 22,
  DEVICE_ABSENT: 23,
  DEVICE_RESTARTED: 24,
  DEVICE_FAILED: 25,
  DEVICE_FULL: 26,
  TIMEOUT: 27,
  UNAVAILABLE: 28,
  RATE_LIMITED: 29,
  STORAGE_FULL: 30,
  STORAGE_FAILED: 31,
  STORAGE_IN_USE: 32,
  STORAGE_NEWER: 33,
  TAMPER_DETECTED: 34,
  CONFIG_INVALID: 35,
  INTERNAL: 36,
} as const satisfies Record<ErrorCode, number>;

const BY_STATUS: ReadonlyMap<number, ErrorCode> = new Map(
  Object.entries(STATUS).map(([code, status]) => [status, code as ErrorCode]),
);

const MAX_TEXT = 2048;
const MAX_DETAILS = 16;

const detail = struct("DETAIL", "boundary channel", {
  key: utf8(u8, 255),
  type: enumOf("type", u8, { text: 1, integer: 2, number: 3, boolean: 4 }),
  // A number that is not a whole one travels as text: details are for reading, not for arithmetic.
  value: select("type", { text: utf8(u16, MAX_TEXT), integer: u64, number: utf8(u8, 32), boolean: bool8 }),
});

const wireError = struct("ERROR", "boundary channel", {
  message: utf8(u16, MAX_TEXT * 4),
  hint: optional(utf8(u16, MAX_TEXT * 4)),
  details: list(u8, detail, MAX_DETAILS),
});

type DetailValue = string | number | boolean;

function toDetail(key: string, value: DetailValue) {
  if (typeof value === "boolean") return { key, type: "boolean" as const, value };
  if (typeof value === "string") return { key, type: "text" as const, value: clip(value, MAX_TEXT / 4) };
  if (Number.isSafeInteger(value) && value >= 0) return { key, type: "integer" as const, value: BigInt(value) };
  return { key, type: "number" as const, value: String(value) };
}

function fromDetail(type: "text" | "integer" | "number" | "boolean", value: unknown): DetailValue {
  return type === "integer" || type === "number" ? Number(value) : (value as string | boolean);
}

function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/** Status byte and body of any thrown value. What is not a CasemateError becomes INTERNAL without its text. */
export function encodeError(thrown: unknown): { readonly status: number; readonly body: Uint8Array } {
  const error = asCasemateError(thrown);
  const details = Object.entries(error.details).slice(0, MAX_DETAILS);
  const body = encode(wireError, {
    message: clip(error.message, MAX_TEXT),
    hint: error.hint === undefined ? undefined : clip(error.hint, MAX_TEXT),
    details: details.map(([key, value]) => toDetail(clip(key, 64), value)),
  });
  return { status: STATUS[error.code], body };
}

/** @throws CasemateError DECODE_* when status or body are not ones `encodeError` makes. */
export function decodeError(status: number, body: Uint8Array): CasemateError {
  const code = BY_STATUS.get(status);
  if (code === undefined) throw new CasemateError("DECODE_INVALID", `${status} is not a status of the channel`);
  const { message, hint, details } = decode(wireError, body);
  return new CasemateError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    details: Object.fromEntries(details.map(({ key, type, value }) => [key, fromDetail(type, value)])),
  });
}
