/** Typed requests over the channel: one row of the operation table in, its reply out. */
import type { Channel } from "@casemate/devices/boundary";
import { decode, encode, type Codec } from "@casemate/foundation/codec";
import { CasemateError } from "@casemate/foundation/errors";
import { OPERATIONS, type OperationName, type ReplyOf, type RequestOf } from "@casemate/protocols/hsm";

/** Long enough for a batch of the slowest signatures; a device that says nothing for longer is broken. */
const TIME_LIMIT_MS = 120_000;

export type Call = <N extends OperationName>(name: N, request: RequestOf<N>) => Promise<ReplyOf<N>>;

export function createCall(channel: Channel): Call {
  return async (name, request) => {
    const operation = OPERATIONS[name];
    const body = encode(operation.request as Codec<unknown>, request);
    const reply = await channel.request(operation.op, body, { timeoutMs: TIME_LIMIT_MS });
    try {
      return decode(operation.reply as Codec<unknown>, reply) as never;
    } catch (cause) {
      throw new CasemateError("DEVICE_FAILED", `the device's answer to ${name} cannot be read`, { cause });
    }
  };
}
