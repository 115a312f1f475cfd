/** One answer per item of a batch: a value, or a coded error that leaves its neighbours alone. */
import { bool8, bytes, list, struct, u16, u32, u8, utf8, type Codec } from "@casemate/foundation/codec";
import { CasemateError, ERROR_CODES, asCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { LIMITS } from "./limits.ts";

const errorCodec = struct("item error", "virtual HSM wire v1", {
  code: utf8(u8, 64),
  message: utf8(u16, LIMITS.text),
  hint: utf8(u16, LIMITS.text),
});

const clip = (text: string): string => text.slice(0, LIMITS.text / 4);

/** A value or an error, told apart by one byte. */
export function resultCodec<T>(value: Codec<T>): Codec<T | CasemateError> {
  return {
    name: `result of ${value.name}`,
    read(reader, scope) {
      const status = reader.u8();
      if (status === 0) return value.read(reader, scope);
      if (status !== 1) throw reader.invalid(`${status} is neither a value (0) nor an error (1)`);
      const { code, message, hint } = errorCodec.read(reader, scope);
      const known: ErrorCode = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "DEVICE_FAILED";
      return new CasemateError(known, message, hint === "" ? {} : { hint });
    },
    write(writer, item, scope) {
      if (item instanceof Error) {
        const error = asCasemateError(item);
        writer.u8(1);
        errorCodec.write(
          writer,
          { code: error.code, message: clip(error.message), hint: clip(error.hint ?? "") },
          scope,
        );
      } else {
        writer.u8(0);
        value.write(writer, item, scope);
      }
    },
  };
}

export const bytesResultsCodec = list(u16, resultCodec(bytes(u32, LIMITS.data + LIMITS.overhead)), LIMITS.items);
export const boolResultsCodec = list(u16, resultCodec(bool8), LIMITS.items);

export type Results<T> = readonly (T | CasemateError)[];
