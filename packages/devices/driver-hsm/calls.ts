/** Typed requests over the channel: one row of the operation table in, its reply out. */
import type { Channel } from "@casemate/devices/boundary";
import { decode, encode, type Codec } from "@casemate/foundation/codec";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { OPERATIONS, type OperationName, type ReplyOf, type RequestOf } from "@casemate/protocols/hsm";

/** Long enough for a batch of the slowest signatures; a device that says nothing for longer is broken. */
const TIME_LIMIT_MS = 120_000;

export type Call = <N extends OperationName>(name: N, request: RequestOf<N>) => Promise<ReplyOf<N>>;

function named(error: unknown, unlocking: string): unknown {
  if (!isCasemateError(error) || error.code !== "DEVICE_LOCKED") return error;
  const { code, message, details } = error;
  return new CasemateError(code, message, { hint: unlocking, details, cause: error });
}

/** `unlocking` is what to do about a locked device: its process does not know what it is called. */
export function createCall(channel: Channel, unlocking?: string): Call {
  return async (name, request) => {
    const operation = OPERATIONS[name];
    const body = encode(operation.request as Codec<unknown>, request);
    let reply: Uint8Array;
    try {
      reply = await channel.request(operation.op, body, { timeoutMs: TIME_LIMIT_MS });
    } catch (error) {
      throw unlocking === undefined ? error : named(error, unlocking);
    }
    try {
      return decode(operation.reply as Codec<unknown>, reply) as never;
    } catch (cause) {
      throw new CasemateError("DEVICE_FAILED", `the device's answer to ${name} cannot be read`, { cause });
    }
  };
}
