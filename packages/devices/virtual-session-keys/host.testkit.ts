/** A host for tests, in the same process. */
import { decode, encode, type Codec } from "@casemate/foundation/codec";
import { nativeCalls } from "@casemate/foundation/ffi";
import {
  OPERATIONS,
  type Grants,
  type OperationName,
  type ReplyOf,
  type RequestOf,
} from "@casemate/protocols/session-keys";
import { createEngine, type Engine, type EngineOptions } from "./engine.ts";

export class TestHost {
  readonly engine: Engine;

  constructor(options: Partial<EngineOptions> = {}) {
    const { ecDigest } = nativeCalls();
    this.engine = createEngine({ ...(ecDigest.available ? { ecDigest } : {}), ...options });
  }

  async call<N extends OperationName>(name: N, request: RequestOf<N>): Promise<ReplyOf<N>> {
    const operation = OPERATIONS[name];
    const reply = await this.engine.handle(operation.op, encode(operation.request as Codec<unknown>, request));
    return decode(operation.reply as Codec<unknown>, reply) as ReplyOf<N>;
  }

  async secret(type: "generic" | "aes" | "des", value: Uint8Array, grants: Grants = OPEN): Promise<Uint8Array> {
    return (await this.call("importSecret", { type, value: value.slice(), ...grants })).id.slice();
  }
}

export const OPEN = { readable: true, extractable: true } as const;
export const CLOSED = { readable: false, extractable: false } as const;
