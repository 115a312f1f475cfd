// Implements: PKCS #11 v3.0 §5.8 and §5.10, encryption and decryption.
import { concat } from "@casemate/foundation/bytes";
import { CKA, type ByteArray, type Mechanism } from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import { blockCipher, initialBlock, wholeCipher } from "../cipher-engine.ts";
import { cipherStream, gatheringStream, type CipherStream } from "../cipher-stream.ts";
import type { Maybe } from "../context.ts";
import type { CipherSpec } from "../mechanisms.ts";
import type { Material } from "../object.ts";
import type { CipherOperation, Session } from "../session.ts";
import { failure } from "../status.ts";
import { cancels, keyFor, mechanismRow } from "./init.ts";
import { deliver, dropsOther, fresh, input, part, step, whole } from "./output.ts";
import type { Calls } from "./types.ts";

type Kind = "encrypt" | "decrypt";

/** A cipher that is ready to take input. */
export function startCipher(
  application: Application,
  caller: ReturnType<Application["user"]>,
  material: Material,
  spec: CipherSpec,
  mechanism: Mechanism,
  encrypt: boolean,
): Pick<CipherOperation, "stream" | "whole"> {
  const { ports } = application;
  const { parameter } = mechanism;
  if (spec.kind !== "block") {
    const all = wholeCipher(ports, caller, material, spec, encrypt, parameter);
    return spec.kind === "gcm" ? { whole: all, stream: gatheringStream(all) } : { whole: all };
  }
  const blocks = blockCipher(ports, caller, material, spec.cipher);
  const first = spec.mode === "ecb" ? new Uint8Array(0) : initialBlock(mechanism.type, parameter, blocks.blockSize);
  const bits = parameter?.kind === "ctr" ? parameter.bits : 0;
  return { stream: cipherStream(blocks, spec.mode, encrypt, first, bits) };
}

/** All of a message at once. */
export function runCipher(cipher: Pick<CipherOperation, "stream" | "whole">, data: Uint8Array): Maybe<Uint8Array> {
  if (cipher.whole !== undefined) {
    cipher.whole.check?.(data.length);
    return cipher.whole.run(data);
  }
  const stream = cipher.stream as CipherStream;
  const body = stream.update(data);
  if (!(body instanceof Promise)) {
    const tail = stream.final();
    return tail instanceof Promise ? tail.then((end) => concat(body, end)) : concat(body, tail);
  }
  return body.then(async (start) => concat(start, await stream.final()));
}

function init(application: Application, handle: number, mechanism: Mechanism, key: number, kind: Kind): [] {
  const session = application.session(handle);
  if (cancels(session, kind, mechanism)) return [];
  const row = mechanismRow(mechanism);
  if (row.cipher === undefined) throw failure("MECHANISM_INVALID");
  const encrypt = kind === "encrypt";
  const { object, material } = keyFor(application, session, key, row, encrypt ? CKA.ENCRYPT : CKA.DECRYPT);
  const { cipher } = row;
  const actor = application.actor(session, material);
  const restart = () => startCipher(application, actor, material, cipher, mechanism, encrypt);
  session.operations[kind] = { ...fresh(encrypt ? undefined : object), encrypt, ...restart(), restart };
  return [];
}

function sizeOfWhole(operation: CipherOperation, length: number): number {
  if (operation.whole !== undefined) return operation.whole.size(length);
  const stream = operation.stream as CipherStream;
  // What padding comes off is not known before: what comes out is never longer than what goes in.
  return operation.encrypt ? stream.restSize(length) : length;
}

/** A length that cannot be is refused when its size is asked, too. The operation ends then. */
function mayEnd(session: Session, kind: Kind, { stream, whole: all }: CipherOperation, length: number): void {
  step(session, kind, () => (all === undefined ? stream?.mayEnd(length) : all.check?.(length)));
}

function one(application: Application, handle: number, given: ByteArray, capacity: number, kind: Kind) {
  const session = application.session(handle);
  const operation = session.running(kind);
  whole(session, kind, operation);
  const data = input(session, kind, given);
  if (dropsOther(operation, data)) Object.assign(operation, operation.restart());
  if (operation.kept === undefined) mayEnd(session, kind, operation, data.length);
  const size = sizeOfWhole(operation, data.length);
  // The size of a ciphertext is exact: with too little room nothing has happened yet, and the caller may come with another text.
  if (operation.encrypt && capacity >= 0 && capacity < size && operation.kept === undefined) return [size] as [number];
  return deliver(session, kind, operation, capacity, size, true, () => runCipher(operation, data), data);
}

function update(application: Application, handle: number, given: ByteArray, capacity: number, kind: Kind) {
  const session = application.session(handle);
  const operation = session.goingOn(kind);
  part(session, kind, operation);
  const data = input(session, kind, given);
  const { stream } = operation;
  if (stream === undefined) {
    session.operations[kind] = undefined;
    throw failure("FUNCTION_NOT_SUPPORTED", "this mechanism takes its input in one piece");
  }
  const size = step(session, kind, () => stream.updateSize(data.length));
  // Asked with too little room, nothing has happened yet: the caller comes again with the same input.
  if (capacity >= 0 && capacity < size && operation.kept === undefined) return [size] as [number];
  return deliver(session, kind, operation, capacity, size, false, () => stream.update(data));
}

function final(application: Application, handle: number, capacity: number, kind: Kind) {
  const session = application.session(handle);
  const operation = session.running(kind);
  part(session, kind, operation);
  const { stream } = operation;
  if (stream === undefined) {
    session.operations[kind] = undefined;
    throw failure("FUNCTION_NOT_SUPPORTED", "this mechanism takes its input in one piece");
  }
  if (operation.kept === undefined) step(session, kind, () => stream.mayEnd(0));
  return deliver(session, kind, operation, capacity, stream.finalSize(), true, () => stream.final());
}

export const cipherCalls: Calls<
  | "C_EncryptInit"
  | "C_Encrypt"
  | "C_EncryptUpdate"
  | "C_EncryptFinal"
  | "C_DecryptInit"
  | "C_Decrypt"
  | "C_DecryptUpdate"
  | "C_DecryptFinal"
> = {
  C_EncryptInit: (application, session, mechanism, key) => init(application, session, mechanism, key, "encrypt"),
  C_Encrypt: (application, session, data, capacity) => one(application, session, data, capacity, "encrypt"),
  C_EncryptUpdate: (application, session, data, capacity) => update(application, session, data, capacity, "encrypt"),
  C_EncryptFinal: (application, session, capacity) => final(application, session, capacity, "encrypt"),
  C_DecryptInit: (application, session, mechanism, key) => init(application, session, mechanism, key, "decrypt"),
  C_Decrypt: (application, session, data, capacity) => one(application, session, data, capacity, "decrypt"),
  C_DecryptUpdate: (application, session, data, capacity) => update(application, session, data, capacity, "decrypt"),
  C_DecryptFinal: (application, session, capacity) => final(application, session, capacity, "decrypt"),
};
