// Implements: PKCS #11 v3.0 §5.15, verification of signatures and MACs.
import { CKA, type Mechanism } from "@casemate/protocols/p11-rpc";
import type { Application } from "../application.ts";
import type { Maybe } from "../context.ts";
import { Accumulator, type Session, type VerifyOperation } from "../session.ts";
import { failure } from "../status.ts";
import { verifyEngine, type VerifyEngine } from "../verify-engine.ts";
import { cancels, keyFor, mechanismRow } from "./init.ts";
import { collect, fresh, input, part, step, whole } from "./output.ts";
import type { Calls } from "./types.ts";

function init(application: Application, handle: number, mechanism: Mechanism, key: number): [] {
  const session = application.session(handle);
  if (cancels(session, "verify", mechanism)) return [];
  const row = mechanismRow(mechanism);
  if (row.sign === undefined) throw failure("MECHANISM_INVALID");
  const { material } = keyFor(application, session, key, row, CKA.VERIFY);
  const engine = verifyEngine(
    application.ports,
    application.actor(session, material),
    material,
    row.sign,
    mechanism.parameter,
  );
  const { hash } = engine;
  session.operations.verify = {
    ...fresh(),
    engine,
    input: new Accumulator(hash),
  };
  return [];
}

const fits = ({ length, halves }: VerifyEngine, given: number): boolean =>
  halves === true ? given > 0 && given <= length && given % 2 === 0 : given === length;

/** The operation ends whatever comes out. @throws CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE. */
function finish(session: Session, operation: VerifyOperation, signature: Uint8Array): Maybe<[]> {
  const decide = (valid: boolean): [] => {
    session.operations.verify = undefined;
    if (!valid) throw failure("SIGNATURE_INVALID");
    return [];
  };
  return step(session, "verify", () => {
    if (!fits(operation.engine, signature.length)) throw failure("SIGNATURE_LEN_RANGE");
    const data = operation.input.finish();
    operation.engine.check?.(data);
    const valid = operation.engine.verify(data, signature);
    return valid instanceof Promise ? valid.then(decide) : decide(valid);
  });
}

export const verifyCalls: Calls<"C_VerifyInit" | "C_Verify" | "C_VerifyUpdate" | "C_VerifyFinal"> = {
  C_VerifyInit: init,
  C_Verify(application, handle, given, givenSignature) {
    const session = application.session(handle);
    const operation = session.running("verify");
    whole(session, "verify", operation);
    const data = input(session, "verify", given);
    const signature = input(session, "verify", givenSignature);
    return step(session, "verify", () => {
      operation.input.add(data);
      return finish(session, operation, signature);
    });
  },
  C_VerifyUpdate(application, handle, given) {
    const session = application.session(handle);
    const operation = session.running("verify");
    part(session, "verify", operation);
    const data = input(session, "verify", given);
    collect(session, "verify", operation.input, data);
    return [];
  },
  C_VerifyFinal(application, handle, givenSignature) {
    const session = application.session(handle);
    const operation = session.running("verify");
    part(session, "verify", operation);
    return finish(session, operation, input(session, "verify", givenSignature));
  },
};
