import assert from "node:assert/strict";
import { test } from "node:test";
import { CasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { Unanswered } from "./unanswered.ts";

const fails =
  (code: ErrorCode, details = {}) =>
  (): Promise<never> =>
    Promise.reject(new CasemateError(code, `it is ${code}`, { details }));

test("what was answered, or refused by a token that works, is not sought", async () => {
  const unanswered = new Unanswered();
  assert.equal(await unanswered.making((id) => Promise.resolve(id.length)), 16);
  for (const code of ["DEVICE_FAILED", "DEVICE_FULL", "NOT_SUPPORTED"] as const)
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await assert.rejects(unanswered.making(fails(code)), { code });
  assert.equal(unanswered.any, false);
});

test("what got no answer, or was left, is taken back once, and said", async () => {
  const lines: string[] = [];
  const unanswered = new Unanswered((line) => lines.push(line));
  const ids: string[] = [];
  for (const make of [fails("DEVICE_RESTARTED"), fails("TIMEOUT"), fails("DEVICE_FAILED", { left: true })])
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await unanswered.making((id) => (ids.push(id.toHex()), make())).catch(() => undefined);
  const taken: string[] = [];
  await unanswered.takeBack((id) => Promise.resolve(taken.push(id.toHex()) === 2 ? 2 : 0));
  assert.deepEqual(taken, ids);
  assert.deepEqual(lines, [`took back a key whose making got no answer (CKA_ID ${ids[1]}): 2 objects`]);
  assert.equal(unanswered.any, false);
});

test("what cannot be taken back is given up: at once where the token refuses, at the third connection that ends over it", async () => {
  const lines: string[] = [];
  const unanswered = new Unanswered((line) => lines.push(line));
  const leave = (): Promise<unknown> => unanswered.making(fails("DEVICE_RESTARTED")).catch(() => undefined);
  await leave();
  await unanswered.takeBack(fails("FORBIDDEN"));
  assert.equal(unanswered.any, false);
  await leave();
  for (let time = 1; time <= 3; time++) {
    assert.equal(unanswered.any, true);
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await assert.rejects(unanswered.takeBack(fails("DEVICE_RESTARTED")), { code: "DEVICE_RESTARTED" });
  }
  assert.equal(unanswered.any, false);
  assert.equal(lines.filter((line) => /may be in the token still: .*it is/.test(line)).length, 2);
});
