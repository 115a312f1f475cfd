import assert from "node:assert/strict";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import { createPolicyEngine } from "@casemate/keyring/core";
import { temporaryKeyring } from "@casemate/testkit/fakes";

const HALF = "a\ud800";

test("half of a surrogate pair is refused in every free text, and whole pairs are taken", async () => {
  await using t = await temporaryKeyring({ policy: await createPolicyEngine() });
  const { keyring, admin } = t;
  const key = { name: "a", algorithm: "ed25519" } as const;
  await keyring.createKey(admin, { ...key, labels: { "🔑": "🔒" } });
  const object = { tokenLabel: "t", class: 0, label: "l", ckaId: "", attributes: new Uint8Array(1) };
  const tries: Readonly<Record<string, () => Promise<unknown>>> = {
    "a label's value": () => keyring.createKey(admin, { ...key, name: "b", labels: { team: HALF } }),
    "a label's name": () => keyring.updateKey(admin, "a", { labels: { [HALF]: "x" } }),
    "a reason": () => keyring.transition(admin, "a", "suspend", { reason: HALF }),
    "a note": () => keyring.createToken(admin, { principal: "p", roles: ["user"], note: HALF }),
    "a policy": () => keyring.setPolicy(admin, "p", `// ${HALF}\nforbid(principal, action, resource);`),
    principal: () => keyring.explain(admin, { principal: HALF, action: "key.sign", key: "a" }),
    label: () => t.keyring.objects.create(admin, { ...object, label: HALF }),
    tokenLabel: () => t.keyring.objects.create(admin, { ...object, tokenLabel: HALF }),
  };
  for (const [what, run] of Object.entries(tries)) {
    await assert.rejects(run(), (error: unknown) => {
      assert.ok(isCasemateError(error), what);
      assert.deepEqual([error.code, error.message.startsWith(`${what} is not`)], ["BAD_REQUEST", true], error.message);
      return true;
    });
  }
  assert.equal((await keyring.getKey(admin, "a")).state, "active");
});
