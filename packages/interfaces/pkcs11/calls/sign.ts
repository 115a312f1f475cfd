// Implements: PKCS #11 v3.0 §5.13, signatures and MACs.
import { CKA, type Mechanism } from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import { Accumulator } from "../session.ts";
import { SHORT_MESSAGE, signEngine } from "../sign-engine.ts";
import { failure } from "../status.ts";
import { cancels, keyFor, mechanismRow } from "./init.ts";
import { collect, deliver, fresh, input, part, whole } from "./output.ts";
import type { Calls } from "./types.ts";

function init(application: Application, handle: number, mechanism: Mechanism, key: number): [] {
  const session = application.session(handle);
  if (cancels(session, "sign", mechanism)) return [];
  const row = mechanismRow(mechanism);
  if (row.sign === undefined) throw failure("MECHANISM_INVALID");
  const { object, material } = keyFor(application, session, key, row, CKA.SIGN);
  const engine = signEngine(
    application.ports,
    application.actor(session, material),
    material,
    row.sign,
    mechanism.parameter,
  );
  const { hash } = engine;
  session.operations.sign = {
    ...fresh(object),
    engine,
    mechanism: mechanism.type,
    input: new Accumulator(hash),
  };
  return [];
}

export const signCalls: Calls<"C_SignInit" | "C_Sign" | "C_SignUpdate" | "C_SignFinal"> = {
  C_SignInit: init,
  C_Sign(application, handle, given, capacity) {
    const session = application.session(handle);
    const operation = session.running("sign");
    whole(session, "sign", operation);
    const data = input(session, "sign", given);
    const { engine } = operation;
    // The length is exact, so too little room is known before the device is asked.
    if (capacity >= 0 && capacity < engine.length && operation.kept === undefined) return [engine.length];
    return deliver(session, "sign", operation, capacity, engine.length, true, () => {
      if (engine.hash === undefined) return engine.sign(data);
      if (engine.signMessage !== undefined && data.length <= SHORT_MESSAGE) return engine.signMessage(data);
      operation.input.add(data);
      return engine.sign(operation.input.finish());
    });
  },
  C_SignUpdate(application, handle, given) {
    const session = application.session(handle);
    const operation = session.running("sign");
    part(session, "sign", operation);
    const data = input(session, "sign", given);
    collect(session, "sign", operation.input, data);
    return [];
  },
  C_SignFinal(application, handle, capacity) {
    const session = application.session(handle);
    const operation = session.running("sign");
    part(session, "sign", operation);
    const { engine } = operation;
    if (capacity >= 0 && capacity < engine.length && operation.kept === undefined) return [engine.length];
    return deliver(session, "sign", operation, capacity, engine.length, true, () =>
      engine.sign(operation.input.finish()),
    );
  },
};
