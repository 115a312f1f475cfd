import { connect, type Socket } from "node:net";
import { Writer } from "@casemate/foundation/codec";
import { toUtf8 } from "@casemate/foundation/bytes";
import {
  CKR,
  decodeReply,
  FrameReader,
  HANDSHAKE,
  valueLength,
  writeRequest,
  type Attribute,
  type AttributeValue,
  type CallName,
  type Mechanism,
  type MechanismParameter,
  type Reply,
  type ReplySignature,
  type ReplyValues,
  type RequestSignature,
  type RequestValues,
  type RpcVersion,
} from "@casemate/protocols/p11-rpc";

/** A return value other than CKR_OK. */
export class CkrError extends Error {
  readonly rv: number;
  constructor(call: string, rv: number) {
    const name = Object.entries(CKR).find(([, value]) => value === rv)?.[0] ?? `0x${rv.toString(16)}`;
    super(`${call}: CKR_${name}`);
    this.rv = rv;
  }
}

export function attribute(type: number, value: AttributeValue | boolean | string): Attribute {
  const wire = typeof value === "boolean" ? (value ? 1 : 0) : typeof value === "string" ? toUtf8(value) : value;
  return { type, value: wire, length: valueLength(type, wire) };
}

export function mechanism(type: number, parameter?: MechanismParameter): Mechanism {
  return { type, parameter };
}

/** A p11-kit client for tests: calls side by side over one connection. */
export class TestClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly version: RpcVersion;
  readonly #frames = new FrameReader();
  readonly #waiting = new Map<number, (body: Uint8Array | undefined) => void>();
  #serial = 0x10;
  #negotiated = false;

  private constructor(socket: Socket, version: RpcVersion) {
    this.socket = socket;
    this.version = version;
    socket.on("data", (chunk: Buffer) => this.#receive(new Uint8Array(chunk)));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      for (const resolve of this.#waiting.values()) resolve(undefined);
      this.#waiting.clear();
    });
  }

  static async open(path: string, options: { readonly version?: RpcVersion; readonly initialize?: boolean } = {}) {
    const { version = 2, initialize = true } = options;
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const client = new TestClient(socket, version);
    socket.write(new Uint8Array([version]));
    if (initialize) await client.call("C_Initialize", toUtf8(HANDSHAKE), 0, new Uint8Array(1));
    return client;
  }

  #receive(chunk: Uint8Array): void {
    let rest = chunk;
    if (!this.#negotiated) {
      this.#negotiated = true;
      rest = chunk.subarray(1);
    }
    for (const { serial, body } of this.#frames.push(rest)) {
      this.#waiting.get(serial)?.(body);
      this.#waiting.delete(serial);
    }
  }

  /** Sends bytes as they are and waits for the answer with this serial; undefined when the connection is closed. */
  raw(frame: Uint8Array, serial: number): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      this.#waiting.set(serial, resolve);
      this.socket.write(frame);
    });
  }

  async reply<N extends CallName>(name: N, ...values: RequestValues<RequestSignature<N>>): Promise<Reply<N>> {
    const serial = this.#serial++;
    const writer = new Writer();
    for (const word of [serial, 6, 0]) writer.u32(word);
    writer.raw(toUtf8("client"));
    const start = writer.length;
    writeRequest(writer, name, values, this.version);
    writer.patchU32(8, writer.length - start);
    const body = await this.raw(writer.finish(), serial);
    if (body === undefined) throw new Error(`${name}: the connection was closed`);
    return decodeReply(body, name, this.version);
  }

  /** The values of an answer. @throws CkrError. */
  async call<N extends CallName>(
    name: N,
    ...values: RequestValues<RequestSignature<N>>
  ): Promise<ReplyValues<ReplySignature<N>>> {
    const reply = await this.reply(name, ...values);
    if (!reply.ok) throw new CkrError(name, reply.code);
    return reply.values;
  }

  /** The return value alone. */
  async rv<N extends CallName>(name: N, ...values: RequestValues<RequestSignature<N>>): Promise<number> {
    const reply = await this.reply(name, ...values);
    return reply.ok ? CKR.OK : reply.code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.destroyed) return;
    const closed = new Promise((resolve) => this.socket.once("close", resolve));
    this.socket.destroy();
    await closed;
  }
}
