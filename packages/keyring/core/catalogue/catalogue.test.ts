import assert from "node:assert/strict";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import type { CreateKey } from "@casemate/keyring/core";
import { Place, softwareDevice, temporaryKeyring } from "@casemate/testkit/fakes";

function failing(code: string, pattern = /./) {
  return (error: unknown): boolean => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, pattern);
    return true;
  };
}

const BAD: readonly (readonly [string, Partial<Record<keyof CreateKey, unknown>>, string])[] = [
  ["an empty name", { name: "" }, "BAD_REQUEST"],
  ["a name with a slash", { name: "a/b" }, "BAD_REQUEST"],
  ["a name that starts with a dot", { name: ".a" }, "BAD_REQUEST"],
  ["a name of 129 characters", { name: "a".repeat(129) }, "BAD_REQUEST"],
  ["an unknown algorithm", { algorithm: "constructor" }, "BAD_REQUEST"],
  ["an algorithm no device has", { algorithm: "ml-kem-768" }, "NOT_SUPPORTED"],
  ["a usage the algorithm has not", { usages: ["encrypt"] }, "BAD_REQUEST"],
  ["no usage", { usages: [] }, "BAD_REQUEST"],
  ["an unknown device", { device: "hsm-9" }, "NOT_FOUND"],
  ["a rotation of no days", { rotateEveryDays: 0 }, "BAD_REQUEST"],
  ["half a use", { useLimit: 0.5 }, "BAD_REQUEST"],
  ["a date without a zone", { activateAt: "2031-01-01T00:00:00" }, "BAD_REQUEST"],
  ["a date that the calendar has not", { activateAt: "2030-02-30T00:00:00Z" }, "BAD_REQUEST"],
  ["another, in a zone", { deactivateAt: "2031-04-31T12:00:00+02:00" }, "BAD_REQUEST"],
  [
    "an end before the beginning",
    { activateAt: "2031-01-02T00:00:00Z", deactivateAt: "2031-01-01T00:00:00Z" },
    "BAD_REQUEST",
  ],
  ["an end in the past", { deactivateAt: "2001-01-01T00:00:00Z" }, "BAD_REQUEST"],
  ["a label that is too long", { labels: { team: "x".repeat(257) } }, "BAD_REQUEST"],
];

test("a bad request for a key is refused, changes nothing, and is on record", async () => {
  await using t = await temporaryKeyring();
  const held = t.device.held;
  for (const [what, fields, code] of BAD) {
    const request = { name: "a", algorithm: "ec-p256", ...fields } as CreateKey;
    await assert.rejects(t.keyring.createKey(t.admin, request), failing(code), what);
    assert.equal(t.audit.entries.at(-1)?.outcome, code, what);
  }
  assert.equal(t.device.held, held);
  assert.deepEqual((await t.keyring.listKeys(t.admin, {})).items, []);
});

test("a name is taken once, also side by side and after destruction", async () => {
  await using t = await temporaryKeyring();
  const request = { name: "a", algorithm: "ed25519" } as const;
  const tries = await Promise.allSettled([1, 2, 3].map(() => t.keyring.createKey(t.admin, request)));
  assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 1);
  await assert.rejects(t.keyring.createKey(t.admin, request), { code: "ALREADY_EXISTS", hint: /rotate the key/ });
  await t.keyring.destroyKey(t.admin, "a", { now: true });
  await assert.rejects(t.keyring.createKey(t.admin, request), {
    code: "ALREADY_EXISTS",
    message: /destroyed/,
    hint: "Choose another name: the name of a destroyed key is not used again.",
  });
});

test("keys in devices that are not there any more are counted by device, destroyed ones left out", async () => {
  using place = new Place();
  place.devices = new Map([...place.devices, ["hsm-2", softwareDevice("hsm-2")]]);
  const first = await place.open();
  for (const [name, device] of [
    ["a", "hsm-1"],
    ["b", "hsm-2"],
    ["c", "hsm-2"],
    ["d", "hsm-2"],
  ] as const)
    await first.keyring.createKey(first.admin, { name, device, algorithm: "ed25519" });
  await first.keyring.destroyKey(first.admin, "d", { now: true });
  assert.deepEqual(await first.keyring.keysWithoutDevice(), new Map());
  await first.keyring.close();
  place.devices = new Map([["hsm-1", place.device]]);
  const { keyring } = await place.open();
  assert.deepEqual(await keyring.keysWithoutDevice(), new Map([["hsm-2", 2]]));
  await keyring.close();
});

test("keys are listed by name in pages, filtered by device, state, algorithm and prefix", async () => {
  const second = softwareDevice("hsm-2");
  const first = softwareDevice("hsm-1");
  await using t = await temporaryKeyring({
    devices: new Map([
      ["hsm-1", first],
      ["hsm-2", second],
    ]),
  });
  const make = (name: string, rest: Partial<CreateKey> = {}) =>
    t.keyring.createKey(t.admin, { name, algorithm: "ed25519", ...rest });
  await make("b2", { device: "hsm-2" });
  await make("a1");
  await make("a2", { algorithm: "ec-p256" });
  await make("b1");
  await t.keyring.transition(t.admin, "b1", "suspend");
  const names = async (filter: Parameters<typeof t.keyring.listKeys>[1]): Promise<string[]> =>
    (await t.keyring.listKeys(t.admin, filter)).items.map((key) => key.name);
  assert.deepEqual(await names({}), ["a1", "a2", "b1", "b2"]);
  assert.deepEqual(await names({ device: "hsm-2" }), ["b2"]);
  assert.deepEqual(await names({ state: "suspended" }), ["b1"]);
  assert.deepEqual(await names({ algorithm: "ec-p256" }), ["a2"]);
  assert.deepEqual(await names({ prefix: "a" }), ["a1", "a2"]);
  const page = await t.keyring.listKeys(t.admin, { limit: 2 });
  assert.ok(page.next);
  assert.deepEqual(await names({ limit: 2, cursor: page.next }), ["b1", "b2"]);
  for (const forged of ["AAAA", "YjE", "zzzz", `${page.next}!`])
    await assert.rejects(names({ cursor: forged }), failing("BAD_REQUEST", /cursor/));
  assert.equal((await t.keyring.getDevice(t.admin, "hsm-1")).keys, 3);
  assert.deepEqual(
    (await t.keyring.listDevices(t.admin)).map(({ identity, keys }) => [identity.id, keys]),
    [
      ["hsm-1", 3],
      ["hsm-2", 1],
    ],
  );
});

test("settings change one by one, null takes them away", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", labels: { team: "x" }, useLimit: 10 });
  const set = await t.keyring.updateKey(t.admin, "a", { rotateEveryDays: 90, labels: { team: "y" } });
  assert.deepEqual([set.rotateEveryDays, set.labels, set.useLimit], [90, { team: "y" }, 10]);
  assert.equal(set.nextRotationAt, new Date(t.clock.now() + 90 * 86_400_000).toISOString());
  const cleared = await t.keyring.updateKey(t.admin, "a", { rotateEveryDays: null, useLimit: null });
  assert.deepEqual(
    [cleared.rotateEveryDays, cleared.nextRotationAt, cleared.useLimit],
    [undefined, undefined, undefined],
  );
  await assert.rejects(t.keyring.updateKey(t.admin, "a", { activateAt: "2031-01-01T00:00:00Z" }), failing("KEY_STATE"));
  await assert.rejects(t.keyring.updateKey(t.admin, "a", { useLimit: 0 }), failing("BAD_REQUEST"));
  await t.reopen();
  assert.deepEqual((await t.keyring.getKey(t.admin, "a")).labels, { team: "y" });
});

test("a key that is in a device already is adopted once, by label or by id, and never rotated", async () => {
  await using t = await temporaryKeyring();
  t.device.plant("ec-p256", "vendor key", "0a0b");
  t.device.plant("ed25519", "twin", "01");
  t.device.plant("ed25519", "twin", "02");
  const { keyring, admin } = t;
  const adopted = await keyring.adoptKey(admin, { name: "a", device: "hsm-1", label: "vendor key", usages: ["sign"] });
  assert.match(adopted.warnings.join(), /adopted/);
  assert.deepEqual([adopted.origin, adopted.versions[0]?.origin], ["adopted", "adopted"]);
  await keyring.sign(admin, "a", { kind: "message", inputs: [new Uint8Array(3)] });
  const again = { name: "b", device: "hsm-1", id: "0A0B" };
  await assert.rejects(keyring.adoptKey(admin, again), failing("ALREADY_EXISTS", /catalogue as a/));
  await assert.rejects(keyring.adoptKey(admin, { name: "b", device: "hsm-1", label: "twin" }), failing("BAD_REQUEST"));
  await keyring.adoptKey(admin, { name: "b", device: "hsm-1", id: "02" });
  const both = { name: "c", device: "hsm-1", label: "twin" };
  await assert.rejects(keyring.adoptKey(admin, { ...both, id: "0a0b" }), failing("NOT_FOUND"));
  await assert.rejects(keyring.adoptKey(admin, { ...both, id: "02" }), failing("ALREADY_EXISTS", /catalogue as b/));
  await assert.rejects(keyring.adoptKey(admin, { name: "c", device: "hsm-1" }), failing("BAD_REQUEST", /or both/));
  await assert.rejects(keyring.adoptKey(admin, { name: "c", device: "hsm-1", label: "none" }), failing("NOT_FOUND"));
  await assert.rejects(keyring.rotateKey(admin, "a"), failing("NOT_SUPPORTED"));
  const objects = await keyring.listDeviceObjects(admin, "hsm-1");
  assert.deepEqual(
    objects.map((object) => object.adoptedAs),
    ["a", undefined, "b"],
  );
});

test("plaintext export is refused whatever the key", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "ed25519", exportable: true });
  await assert.rejects(t.keyring.exportKey(t.admin, "a"), failing("NOT_EXPORTABLE"));
});

test("a key that was exportable once says until when, of the versions from before", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "aes-256", exportable: true });
  const given = await t.keyring.updateKey(t.admin, "a", { exportable: false });
  assert.equal(given.exportable, false);
  assert.ok(given.exportableUntil !== undefined && given.exportableUntil >= given.createdAt);
  assert.ok(
    given.warnings.some((warning) => warning.startsWith("exportable until")),
    given.warnings.join(),
  );
  t.clock.advance(1000);
  const rotated = await t.keyring.rotateKey(t.admin, "a");
  assert.equal(rotated.exportableUntil, given.exportableUntil);
  assert.deepEqual(rotated.warnings, []);
  const never = await t.keyring.createKey(t.admin, { name: "b", algorithm: "aes-256" });
  assert.equal((await t.keyring.updateKey(t.admin, "b", { exportable: false })).exportableUntil, never.exportableUntil);
});

test("a symmetric key has no public half", async () => {
  await using t = await temporaryKeyring();
  await t.keyring.createKey(t.admin, { name: "a", algorithm: "aes-256" });
  await assert.rejects(t.keyring.publicKey(t.admin, "a"), failing("NOT_SUPPORTED"));
});
