import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { temporaryKeyring, type TemporaryKeyring } from "@casemate/testkit/fakes";

const request = { kind: "message", inputs: [toUtf8("x")] } as const;

type Act = (t: TemporaryKeyring, name: string) => Promise<unknown>;

const ACTS: Readonly<Record<string, Act>> = {
  sign: (t, name) => t.keyring.sign(t.admin, name, request),
  get: (t, name) => t.keyring.getKey(t.admin, name),
  list: (t) => t.keyring.listKeys(t.admin, {}),
  rotate: (t, name) => t.keyring.rotateKey(t.admin, name),
  suspend: (t, name) => t.keyring.transition(t.admin, name, "suspend"),
  resume: (t, name) => t.keyring.transition(t.admin, name, "resume"),
  label: (t, name) => t.keyring.updateKey(t.admin, name, { labels: { touched: "yes" } }),
  destroy: (t, name) => t.keyring.destroyKey(t.admin, name),
  restore: (t, name) => t.keyring.restoreKey(t.admin, name),
  schedule: (t) => t.keyring.runSchedule(),
};

test("whatever is asked side by side, no change is lost, and memory, store and device agree afterwards", async () => {
  await using t = await temporaryKeyring({ cacheSize: 2 });
  const names = ["a", "b", "c"];
  const limit = 40;
  for (const name of names) await t.keyring.createKey(t.admin, { name, algorithm: "ed25519", useLimit: limit });
  const held = t.device.held - names.length;
  const step = fc.tuple(fc.constantFrom(...Object.keys(ACTS)), fc.constantFrom(...names));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      const before = new Map<string, number>();
      for (const name of names) before.set(name, (await t.keyring.getKey(t.admin, name)).versions.length);
      const outcomes = await Promise.allSettled(steps.map(async ([act, name]) => ACTS[act]?.(t, name)));
      for (const outcome of outcomes) {
        if (outcome.status === "rejected")
          assert.ok(isCasemateError(outcome.reason) && /KEY_STATE|KEY_LIMIT/.test(outcome.reason.code), outcome.reason);
      }
      for (const name of names) {
        const rotations = steps.filter(
          ([act, of], index) => act === "rotate" && of === name && outcomes[index]?.status === "fulfilled",
        ).length;
        const view = await t.keyring.getKey(t.admin, name);
        assert.equal(view.versions.length, (before.get(name) ?? 0) + rotations);
        assert.ok(view.versions.filter(({ state }) => state === "active").length <= 1);
        assert.ok(view.uses <= limit);
      }
    }),
    { numRuns: 25 },
  );
  const memory = await Promise.all(names.map((name) => t.keyring.getKey(t.admin, name)));
  const versions = memory.reduce((sum, view) => sum + view.versions.length, 0);
  assert.equal(t.device.held, held + versions, "one key in the device for each version, no more and no less");
  const keyring = await t.reopen();
  await keyring.checkStorage();
  assert.deepEqual(await Promise.all(names.map((name) => keyring.getKey(t.admin, name))), memory);
});
