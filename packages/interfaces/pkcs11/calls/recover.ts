// Implements: PKCS #11 v3.0 §5.14 and §5.16, signatures with message recovery: RSA PKCS#1 v1.5 and raw RSA.
import { CKA, type Mechanism } from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import { usePublicKey } from "../public-key-use.ts";
import { modulusBits, publicRaw, recoverPkcs1 } from "../rsa.ts";
import type { RecoverOperation } from "../session.ts";
import { signEngine } from "../sign-engine.ts";
import { failure } from "../status.ts";
import { cancels, keyFor, mechanismRow } from "./init.ts";
import { deliver, dropsOther, fresh, input, whole } from "./output.ts";
import type { Calls } from "./types.ts";

function signInit(application: Application, handle: number, mechanism: Mechanism, key: number): [] {
  const session = application.session(handle);
  if (cancels(session, "signRecover", mechanism)) return [];
  const row = mechanismRow(mechanism);
  if (row.sign === undefined || (row.sign.kind !== "rsa-x509" && (row.sign.kind !== "rsa-pkcs1" || row.sign.hash))) {
    throw failure("MECHANISM_INVALID");
  }
  const { object, material } = keyFor(application, session, key, row, CKA.SIGN_RECOVER);
  const engine = signEngine(application.ports, application.actor(session, material), material, row.sign, undefined);
  session.operations.signRecover = { ...fresh(object), size: engine.length, run: (data) => engine.sign(data) };
  return [];
}

function verifyInit(application: Application, handle: number, mechanism: Mechanism, key: number): [] {
  const session = application.session(handle);
  if (cancels(session, "verifyRecover", mechanism)) return [];
  const row = mechanismRow(mechanism);
  const kind = row.sign?.kind;
  if (kind !== "rsa-x509" && (kind !== "rsa-pkcs1" || row.digest !== undefined || row.cipher === undefined)) {
    throw failure("MECHANISM_INVALID");
  }
  const { material } = keyFor(application, session, key, row, CKA.VERIFY_RECOVER);
  if (material.kind !== "public") throw failure("KEY_TYPE_INCONSISTENT");
  const bytes = Math.ceil(modulusBits(material.key) / 8);
  const recover = (signature: Uint8Array): Uint8Array => {
    if (kind === "rsa-x509") return publicRaw(material.key, signature);
    const data = recoverPkcs1(material.key, signature);
    if (data === undefined) throw failure("SIGNATURE_INVALID");
    return data;
  };
  const who = application.actor(session, material) ?? application.ports.service;
  const operation: RecoverOperation = {
    ...fresh(),
    size: bytes,
    run(signature) {
      if (signature.length !== bytes) throw failure("SIGNATURE_LEN_RANGE");
      return usePublicKey(application.ports, who, material, "verify", { mechanism: kind, operation: "recover" }, () =>
        recover(signature),
      );
    },
  };
  session.operations.verifyRecover = operation;
  return [];
}

export const recoverCalls: Calls<"C_SignRecoverInit" | "C_SignRecover" | "C_VerifyRecoverInit" | "C_VerifyRecover"> = {
  C_SignRecoverInit: signInit,
  C_SignRecover(application, handle, given, capacity) {
    const session = application.session(handle);
    const operation = session.running("signRecover");
    whole(session, "signRecover", operation);
    const data = input(session, "signRecover", given);
    if (capacity >= 0 && capacity < operation.size && operation.kept === undefined) return [operation.size];
    return deliver(session, "signRecover", operation, capacity, operation.size, true, () => operation.run(data));
  },
  C_VerifyRecoverInit: verifyInit,
  C_VerifyRecover(application, handle, given, capacity) {
    const session = application.session(handle);
    const operation = session.running("verifyRecover");
    whole(session, "verifyRecover", operation);
    const signature = input(session, "verifyRecover", given);
    dropsOther(operation, signature);
    const run = () => operation.run(signature);
    return deliver(session, "verifyRecover", operation, capacity, operation.size, true, run, signature);
  },
};
