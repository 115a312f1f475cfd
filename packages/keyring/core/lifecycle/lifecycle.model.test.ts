import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { toUtf8 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import type { KeyState, Transition } from "@casemate/keyring/core";
import { temporaryKeyring, type TemporaryKeyring } from "@casemate/testkit/fakes";

const DAY = 86_400_000;
const input = toUtf8("x");

/** What the standard says, written down a second time and by hand: the test must not share the table it tests. */
const MAY_SIGN: readonly KeyState[] = ["active"];
const MAY_VERIFY: readonly KeyState[] = ["active", "suspended", "deactivated", "compromised"];
const MOVE: Readonly<Record<Transition, Partial<Record<KeyState, KeyState>>>> = {
  activate: { "pre-active": "active" },
  suspend: { active: "suspended" },
  resume: { suspended: "active" },
  deactivate: { active: "deactivated", suspended: "deactivated" },
  compromise: {
    "pre-active": "compromised",
    active: "compromised",
    suspended: "compromised",
    deactivated: "compromised",
  },
};

interface Version {
  state: KeyState;
  before: KeyState | undefined;
  destroyAt: number | undefined;
}

class Model {
  readonly versions: Version[] = [];
  primary(): Version {
    const found =
      this.versions.findLast((version) => version.state === "active") ??
      this.versions.findLast((version) => version.state !== "destroyed") ??
      this.versions.at(-1);
    assert.ok(found);
    return found;
  }
}

interface Real {
  readonly t: TemporaryKeyring;
  readonly name: string;
}

async function attempt(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "ok";
  } catch (error) {
    if (!isCasemateError(error)) throw error;
    return error.code;
  }
}

async function agree(model: Model, { t, name }: Real): Promise<void> {
  const view = await t.keyring.getKey(t.admin, name);
  assert.deepEqual(
    view.versions.map(({ state, destroyAt }) => ({ state, waits: destroyAt !== undefined })),
    model.versions.map(({ state, destroyAt }) => ({ state, waits: destroyAt !== undefined })),
  );
  assert.equal(view.state, model.primary().state);
  const { state } = model.primary();
  const signed = await attempt(t.keyring.sign(t.admin, name, { kind: "message", inputs: [input] }));
  assert.equal(signed, MAY_SIGN.includes(state) ? "ok" : "KEY_STATE");
  const items = [{ input, signature: new Uint8Array(64) }];
  const verified = await attempt(t.keyring.verify(t.admin, name, { kind: "message", items }));
  assert.equal(verified, MAY_VERIFY.includes(state) ? "ok" : "KEY_STATE");
}

type Step = fc.AsyncCommand<Model, Real>;

function step(text: string, run: (model: Model, real: Real) => Promise<void>): Step {
  return {
    check: () => true,
    async run(model, real) {
      await run(model, real);
      await agree(model, real);
    },
    toString: () => text,
  };
}

const moves = (Object.keys(MOVE) as Transition[]).map((move) =>
  step(move, async (model, { t, name }) => {
    const version = model.primary();
    const to = version.destroyAt !== undefined && move !== "compromise" ? undefined : MOVE[move][version.state];
    const outcome = await attempt(t.keyring.transition(t.admin, name, move));
    assert.equal(outcome, to === undefined ? "KEY_STATE" : "ok");
    if (to === undefined) return;
    version.state = to;
    if (version.destroyAt !== undefined) version.before = "compromised";
  }),
);

const rotate = step("rotate", async (model, { t, name }) => {
  const { state, destroyAt } = model.primary();
  const may = destroyAt === undefined && state !== "destroyed" && state !== "pre-active";
  assert.equal(await attempt(t.keyring.rotateKey(t.admin, name)), may ? "ok" : "KEY_STATE");
  if (!may) return;
  for (const version of model.versions)
    if (version.state === "active" || version.state === "suspended") version.state = "deactivated";
  model.versions.push({ state: "active", before: undefined, destroyAt: undefined });
});

const destroy = step("destroy", async (model, { t, name }) => {
  const living = model.versions.filter((version) => version.state !== "destroyed");
  assert.equal(await attempt(t.keyring.destroyKey(t.admin, name)), living.length > 0 ? "ok" : "KEY_STATE");
  for (const version of living) {
    version.before ??= version.state;
    version.destroyAt = t.clock.now() + 7 * DAY;
    if (version.state === "active" || version.state === "suspended") version.state = "deactivated";
  }
});

const restore = step("restore", async (model, { t, name }) => {
  const waiting = model.versions.filter((version) => version.destroyAt !== undefined);
  assert.equal(await attempt(t.keyring.restoreKey(t.admin, name)), waiting.length > 0 ? "ok" : "KEY_STATE");
  for (const version of waiting) {
    version.state = version.before ?? version.state;
    version.before = undefined;
    version.destroyAt = undefined;
  }
});

const destroyNow = step("destroy now", async (model, { t, name }) => {
  const living = model.versions.filter((version) => version.state !== "destroyed");
  const outcome = await attempt(t.keyring.destroyKey(t.admin, name, { now: true }));
  assert.equal(outcome, living.length > 0 ? "ok" : "KEY_STATE");
  for (const version of living) Object.assign(version, { state: "destroyed", destroyAt: undefined, before: undefined });
});

const wait = (days: number): Step =>
  step(`wait ${days} days`, async (model, { t }) => {
    t.clock.advance(days * DAY);
    await t.keyring.runSchedule();
    for (const version of model.versions)
      if ((version.destroyAt ?? Infinity) <= t.clock.now())
        Object.assign(version, { state: "destroyed", destroyAt: undefined, before: undefined });
  });

const restart = step("restart", async (_model, { t }) => {
  await t.reopen();
});

test("whatever is asked in whatever order, states follow SP 800-57 and uses follow the state", async () => {
  await using t = await temporaryKeyring();
  let count = 0;
  const held = t.device.held;
  const commands = fc.commands(
    [...moves, rotate, destroy, restore, destroyNow, wait(3), wait(8), restart].map((command) => fc.constant(command)),
    { maxCommands: 20 },
  );
  await fc.assert(
    fc.asyncProperty(commands, fc.boolean(), async (sequence, later) => {
      const name = `k${count++}`;
      const model = new Model();
      await t.keyring.createKey(t.admin, {
        name,
        algorithm: "ed25519",
        ...(later ? { activateAt: new Date(t.clock.now() + 1000 * DAY).toISOString() } : {}),
      });
      model.versions.push({ state: later ? "pre-active" : "active", before: undefined, destroyAt: undefined });
      await fc.asyncModelRun(() => ({ model, real: { t, name } }), sequence);
      if (model.primary().state !== "destroyed") await t.keyring.destroyKey(t.admin, name, { now: true });
      const view = await t.keyring.getKey(t.admin, name);
      assert.ok(view.versions.every((version) => version.state === "destroyed"));
      assert.equal(t.device.held, held, "the device holds nothing of a destroyed key");
    }),
    { numRuns: 120 },
  );
});
