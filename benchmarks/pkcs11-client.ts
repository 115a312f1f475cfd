/** One application of a load: p11-kit's protocol with prepared frames, several calls in one write. */
import { connect, type Socket } from "node:net";
import { Writer } from "@casemate/foundation/codec";
import { toUtf8 } from "@casemate/foundation/bytes";
import {
  CKA,
  CKF,
  CKM,
  CKO,
  CKU,
  decodeReply,
  FRAME_HEADER,
  FrameReader,
  HANDSHAKE,
  peekCall,
  valueLength,
  writeRequest,
  type Attribute,
  type CallName,
  type ReplySignature,
  type ReplyValues,
  type RequestSignature,
  type RequestValues,
} from "@casemate/protocols/p11-rpc";

const VERSION = 2;
/** Of one cycle: a signature, random bytes and a digest. */
export const OPERATIONS_PER_CYCLE = 3;

function frame<N extends CallName>(serial: number, name: N, values: RequestValues<RequestSignature<N>>): Uint8Array {
  const writer = new Writer();
  for (const word of [serial, 0, 0]) writer.u32(word);
  writeRequest(writer, name, values, VERSION);
  writer.patchU32(8, writer.length - FRAME_HEADER);
  return writer.finish();
}

function attribute(type: number, value: number | Uint8Array): Attribute {
  return { type, value, length: valueLength(type, value) };
}

export class LoadClient {
  readonly sessions: number[] = [];
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  #negotiated = false;
  /** Answers still missing, and who waits for them. */
  #missing = 0;
  #last: Uint8Array = new Uint8Array(0);
  #done: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  #cycles: readonly Uint8Array[] = [];
  #turn = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(new Uint8Array(chunk)));
    socket.on("error", () => undefined);
    socket.on("close", () => this.#done?.reject(new Error("the server closed a connection")));
  }

  /** Connects, opens sessions, logs in and finds the key. */
  static async open(path: string, pin: string, label: string, sessions: number): Promise<LoadClient> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const client = new LoadClient(socket);
    socket.write(new Uint8Array([VERSION]));
    await client.#call("C_Initialize", toUtf8(HANDSHAKE), 0, new Uint8Array(1));
    for (let i = 0; i < sessions; i++) {
      const [session] = await client.#call("C_OpenSession", 0, CKF.SERIAL_SESSION);
      client.sessions.push(session);
    }
    const [first = 0] = client.sessions;
    await client.#call("C_Login", first, CKU.USER, toUtf8(pin));
    await client.#call("C_FindObjectsInit", first, [
      attribute(CKA.CLASS, CKO.PRIVATE_KEY),
      attribute(CKA.LABEL, toUtf8(label)),
    ]);
    const [found] = await client.#call("C_FindObjects", first, 1);
    await client.#call("C_FindObjectsFinal", first);
    const key = typeof found === "number" ? undefined : found[0];
    if (key === undefined) throw new Error(`no key ${label}`);
    client.#cycles = client.sessions.map((session) => prepared(session, key));
    return client;
  }

  /** One cycle in the next session. */
  cycle(): Promise<void> {
    const bytes = this.#cycles[this.#turn++ % this.#cycles.length] as Uint8Array;
    return this.#send(bytes, CALLS_PER_CYCLE);
  }

  close(): void {
    this.#done = undefined;
    this.#socket.destroy();
  }

  async #call<N extends CallName>(
    name: N,
    ...values: RequestValues<RequestSignature<N>>
  ): Promise<ReplyValues<ReplySignature<N>>> {
    await this.#send(frame(1, name, values), 1);
    const reply = decodeReply(this.#last, name, VERSION);
    if (!reply.ok) throw new Error(`${name}: CKR 0x${reply.code.toString(16)}`);
    return reply.values;
  }

  #send(bytes: Uint8Array, answers: number): Promise<void> {
    if (this.#missing > 0) throw new Error("a cycle began before the last one was answered");
    this.#missing = answers;
    return new Promise((resolve, reject) => {
      this.#done = { resolve, reject };
      this.#socket.write(bytes);
    });
  }

  #receive(chunk: Uint8Array): void {
    const rest = this.#negotiated ? chunk : chunk.subarray(1);
    this.#negotiated = true;
    for (const { body } of this.#frames.push(rest)) {
      this.#last = body;
      this.#missing--;
      // Until the cycles begin, whoever called looks at the answer.
      if (this.#cycles.length > 0 && peekCall(body) === ERROR_ANSWER) {
        this.#done?.reject(new Error(`a call was refused: ${Buffer.from(body).toString("hex")}`));
      }
    }
    if (this.#missing === 0) this.#done?.resolve();
  }
}

const CALLS_PER_CYCLE = 5;
/** The call number of an answer that is an error. */
const ERROR_ANSWER = 0;

function prepared(session: number, key: number): Uint8Array {
  const data = new Uint8Array(32).fill(session);
  return Buffer.concat([
    frame(1, "C_SignInit", [session, { type: CKM.ECDSA, parameter: undefined }, key]),
    frame(2, "C_Sign", [session, data, 64]),
    frame(3, "C_GenerateRandom", [session, 32]),
    frame(4, "C_DigestInit", [session, { type: CKM.SHA256, parameter: undefined }]),
    frame(5, "C_Digest", [session, data, 32]),
  ]);
}
