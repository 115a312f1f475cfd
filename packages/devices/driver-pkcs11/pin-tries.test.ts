import assert from "node:assert/strict";
import { test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { SecretBytes } from "@casemate/foundation/secrets";
import { PinTries } from "./pin-tries.ts";

const secret = (text: string): SecretBytes => new SecretBytes(toUtf8(text));

/** What is tried next: the PIN as text, or the reason why there is none. */
async function next(tries: PinTries, token: Parameters<PinTries["next"]>[0] = "fine"): Promise<string> {
  const pin = await tries.next(token);
  return pin instanceof SecretBytes ? Buffer.from(pin.reveal()).toString() : pin.message;
}

test("a PIN that was refused is not tried again; another one in its place is, once", async () => {
  let content = "1111";
  const tries = new PinTries(() => Promise.resolve(secret(content)), true);
  assert.equal(await tries.changed(), false, "before anything was refused, nothing is missing");
  assert.equal(await next(tries), "1111");
  tries.refuse(secret("1111"));
  assert.equal(await tries.changed(), false);
  assert.match(await next(tries), /was refused, and is not tried again/);
  content = "2222";
  assert.equal(await tries.changed(), true);
  assert.equal(await next(tries), "2222");
  tries.refuse(secret("2222"));
  assert.equal(await tries.changed(), false);
});

test("the last try that a token bears is left to a person, and so is a token that a person locked", async () => {
  const tries = new PinTries(() => Promise.resolve(secret("1111")), true);
  tries.refuse(secret("0000"));
  assert.match(await next(tries, "final"), /one more wrong PIN locks the token/);
  assert.equal(await tries.changed(), false, "another PIN in the file changes nothing");
  assert.match(await next(tries, "locked"), /its PIN is locked/);
  assert.equal(await next(tries, "low"), "1111");
  tries.lockedByPerson();
  assert.match(await next(tries), /was locked/);
  assert.equal(await tries.changed(), false);
  tries.unlockedByPerson();
  assert.equal(await next(tries), "1111");
});

test("a file that cannot be read leaves the token to a person until it can; a keeper that is away is asked again", async () => {
  let code: "CONFIG_INVALID" | "DEVICE_ABSENT" | undefined = "CONFIG_INVALID";
  const tries = new PinTries(
    () => (code === undefined ? Promise.resolve(secret("1111")) : Promise.reject(new CasemateError(code, "no PIN"))),
    true,
  );
  assert.equal(await next(tries), "no PIN");
  assert.equal(await tries.changed(), false);
  code = undefined;
  assert.equal(await tries.changed(), true);
  code = "DEVICE_ABSENT";
  await assert.rejects(next(tries), { code: "DEVICE_ABSENT" });
});

test("a source that answers the same for ever is not asked while the token is locked", async () => {
  let asked = 0;
  const tries = new PinTries(() => {
    asked++;
    return Promise.resolve(secret("1111"));
  }, false);
  assert.equal(await next(tries), "1111");
  tries.refuse(secret("1111"));
  assert.equal(await tries.changed(), false);
  assert.equal(asked, 1);
});

test("a PIN of which nobody says whether it is right is tried twice, another one anew, and one that was right for ever", async () => {
  let content = "1111";
  const tries = new PinTries(() => Promise.resolve(secret(content)), true);
  const silence = new CasemateError("DEVICE_FAILED", "C_Login returned CKR_GENERAL_ERROR (0x5)");
  for (const pin of ["1111", "2222"]) {
    content = pin;
    for (let time = 0; time < 2; time++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      assert.equal(await next(tries), pin);
      tries.unsaid(secret(pin), silence);
    }
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    assert.match(await next(tries), /tried 2 times, and is not tried again.*: C_Login returned CKR_GENERAL_ERROR/);
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    assert.equal(await tries.changed(), false);
  }
  content = "3333";
  assert.equal(await tries.changed(), true);
  tries.taken(secret("3333"));
  for (let time = 0; time < 5; time++) tries.unsaid(secret("3333"), silence);
  assert.equal(await next(tries), "3333");
  content = "2222";
  tries.unsaid(secret("2222"), silence);
  tries.unsaid(secret("2222"), silence);
  assert.match(await next(tries), /tried 2 times/);
  tries.unlockedByPerson();
  assert.equal(await next(tries), "2222");
});
