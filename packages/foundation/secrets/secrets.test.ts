import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";
import { SecretBytes, constantTimeEqual } from "@casemate/foundation/secrets";
import { toUtf8 } from "@casemate/foundation/bytes";

test("a secret redacts itself however it is printed", () => {
  const secret = new SecretBytes(toUtf8("hunter2"));
  for (const text of [
    String(secret),
    JSON.stringify({ secret }),
    inspect({ secret }),
    inspect(secret, { showHidden: true, depth: 9 }),
  ]) {
    assert.ok(!text.includes("hunter2") && !text.includes("104"), text);
    assert.match(text, /secret/);
  }
});

test("a disposed secret is wiped and refuses to be read", () => {
  const bytes = toUtf8("hunter2");
  {
    using secret = new SecretBytes(bytes);
    assert.equal(secret.length, 7);
  }
  assert.deepEqual(bytes, new Uint8Array(7));
  const gone = new SecretBytes(new Uint8Array(1));
  gone.dispose();
  assert.throws(() => gone.reveal(), /disposed/);
});

test("equality needs the same length and the same bytes", () => {
  const secret = SecretBytes.take(toUtf8("abc"));
  assert.equal(secret.equals(toUtf8("abc")), true);
  assert.equal(secret.equals(toUtf8("abd")), false);
  assert.equal(constantTimeEqual(toUtf8("abc"), toUtf8("abcd")), false);
});
