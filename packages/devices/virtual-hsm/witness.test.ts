import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import { fromBase64 } from "@casemate/foundation/bytes";
import { isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import { LIMITS } from "@casemate/protocols/hsm";
import { MemoryFile, TestHost } from "./host.testkit.ts";

const code =
  (expected: ErrorCode, message = /./) =>
  (error: unknown) => {
    assert.ok(isCasemateError(error), String(error));
    assert.equal(error.code, expected, error.message);
    assert.match(error.message, message);
    return true;
  };

const origin = "casemate-audit/0";
const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => hash("sha256", Buffer.concat(parts), "buffer");
const leaf = (index: number): Uint8Array => sha256(Uint8Array.of(0, index));
/** Trees of 1 and 2 leaves, and what leads from the one to the other. */
const one = { origin, size: 1n, root: leaf(0) };
const two = { origin, size: 2n, root: sha256(Uint8Array.of(1), leaf(0), leaf(1)) };
const grown = [leaf(1)];

async function witnessed(host: TestHost): Promise<readonly (readonly [bigint, bigint])[]> {
  return (await host.call("witnessedLogs", {})).map(({ before, size }) => [before, size] as const);
}

test("what was witnessed survives the end of the process and is not taken back", async () => {
  const host = await TestHost.start();
  const ref = await host.generate("ed25519", "sign");
  await host.call("signCheckpoint", { ref, ...one, proof: [] });
  await host.call("signCheckpoint", { ref, ...two, proof: grown });
  const again = await host.restart();
  assert.deepEqual(await witnessed(again), [[1n, 2n]]);
  await assert.rejects(
    again.call("signCheckpoint", { ref, ...one, proof: [] }),
    code("TAMPER_DETECTED", /rolled back: 2 records were witnessed, it has 1/),
  );
  await assert.rejects(
    again.call("signCheckpoint", { ref, ...two, root: leaf(0), proof: [] }),
    code("TAMPER_DETECTED", /continues the 2/),
  );
  assert.deepEqual(await witnessed(again), [[1n, 2n]]);
});

test("a checkpoint of what is witnessed already is signed again without a save", async () => {
  const host = await TestHost.start();
  const ref = await host.generate("ed25519", "sign");
  const first = await host.call("signCheckpoint", { ref, ...two, proof: [] });
  const { saves } = host;
  assert.deepEqual(await host.call("signCheckpoint", { ref, ...two, proof: [] }), first);
  assert.equal(host.saves, saves);
  assert.deepEqual(await witnessed(host), [[0n, 2n]]);
});

test("no signature leaves before what it covers is durable", async () => {
  const host = await TestHost.start();
  const ref = await host.generate("ed25519", "sign");
  host.outcome = undefined;
  let answered = false;
  void host.call("signCheckpoint", { ref, ...one, proof: [] }).then(() => (answered = true));
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(answered, false);
});

test("a state that cannot be saved signs nothing, witnesses nothing, and says why; with room it goes on", async () => {
  const host = await TestHost.start();
  const ref = await host.generate("ed25519", "sign");
  for (const [outcome, expected] of [
    ["full", "STORAGE_FULL"],
    ["failed", "STORAGE_FAILED"],
  ] as const) {
    host.outcome = outcome;
    await assert.rejects(host.call("signCheckpoint", { ref, ...one, proof: [] }), code(expected));
    assert.deepEqual(await witnessed(host), []);
  }
  host.outcome = "kept";
  await host.call("signCheckpoint", { ref, ...one, proof: [] });
  host.outcome = "full";
  await assert.rejects(host.call("signCheckpoint", { ref, ...two, proof: grown }), code("STORAGE_FULL"));
  assert.deepEqual(await witnessed(host), [[0n, 1n]]);
  host.outcome = "kept";
  await host.call("signCheckpoint", { ref, ...two, proof: grown });
  assert.deepEqual(await witnessed(await host.restart()), [[1n, 2n]]);
});

test("checkpoints that are asked for together are signed in turn", async () => {
  const host = await TestHost.start();
  const ref = await host.generate("ed25519", "sign");
  await Promise.all([
    host.call("signCheckpoint", { ref, ...one, proof: [] }),
    host.call("signCheckpoint", { ref, ...two, proof: grown }),
    assert.rejects(host.call("signCheckpoint", { ref, ...one, proof: [] }), code("TAMPER_DETECTED")),
  ]);
});

test("what was not saved is nothing that a later checkpoint could continue", async () => {
  const host = await TestHost.start();
  const ref = await host.generate("ed25519", "sign");
  host.outcome = "full";
  const asked = [
    host.call("signCheckpoint", { ref, ...one, proof: [] }),
    host.call("signCheckpoint", { ref, ...two, proof: grown }),
  ];
  // The first save has begun, and its answer is under way.
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  assert.equal(host.saves, 2);
  host.outcome = "kept";
  const answers = await Promise.allSettled(asked);
  assert.deepEqual(
    answers.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  assert.deepEqual(await witnessed(host), []);
});

test("an older state of the device that is put back does not forget what was witnessed: it is refused", async () => {
  const host = await TestHost.start();
  const ref = await host.generate("ed25519", "sign");
  const old = [...host.generations];
  await host.call("signCheckpoint", { ref, ...one, proof: [] });
  const rolled = await TestHost.start({ file: host.file, generations: old });
  assert.equal((await rolled.call("status", {})).state, "tampered");
});

test("logs, origins and sizes are bounded", async () => {
  const host = await TestHost.start();
  const keys: Uint8Array[] = [];
  for (let i = 0; i <= LIMITS.logs; i++) keys.push(await host.generate("ed25519", "sign"));
  const [last = new Uint8Array(), ...others] = keys.toReversed();
  for (const ref of others) await host.call("signCheckpoint", { ref, ...one, proof: [] });
  await assert.rejects(host.call("signCheckpoint", { ref: last, ...one, proof: [] }), code("DEVICE_FULL"));
  await host.call("destroy", { ref: others[0] ?? last });
  for (const bad of ["", "two\nlines", "cr\r"])
    await assert.rejects(
      host.call("signCheckpoint", { ref: last, ...one, origin: bad, proof: [] }),
      code("BAD_REQUEST"),
    );
  await assert.rejects(
    host.call("signCheckpoint", { ref: last, ...one, size: 2n ** 53n, proof: [] }),
    code("BAD_REQUEST"),
  );
  await host.call("signCheckpoint", { ref: last, ...one, origin: "x".repeat(LIMITS.origin), proof: [] });
  const again = await host.restart();
  assert.equal((await witnessed(again)).length, LIMITS.logs);
});

/** A device as it was saved before devices were witnesses: sealed state of version 1, and its key file. */
const OLD = {
  serial: "fb11f31f25b972c8",
  keyFile: "VHO+DBp7mfQCQhONJ9dLqohfb+3RTg1sEG4rkscDaiIAAAAAAAAAAg==",
  state:
    "AQEAAAAAAAAAAgAAAAAahzp5jPcyba6s0qxobWDSuzqnN8BDGYU90x1ofk2d06vVJlDkhkcVnAqkAqiFWQxPIUT1fDtiYlJZ6l4dKFMLH1FaJDdocNxMTdZeFBHSQ9u4YjO7WjyTapDvs1n8PVTTlPQ9UFA=",
  signing:
    "AQgAAQC1rKcVRwCTP3RD3YAmr5Li4PPXmH2jirckp96VVRjDn219dMgJ71/uq7DOeDsUrnymuEO5wRubKXYA3kJqTTri1Y8Ydhs7PMZV8alrVWT3v2T5bzSSRWS+mGIAYw==",
  destroyed:
    "AQ4AAgAqFJxQ7QTcPIYS6UptarVjxbtnthfI8W85xRoj0chfhcGLrjHFWraHnz6m9ymv3Ma5VPLypsbFd2mOrYFcB/AsOGyvNbREXkB8oyb5",
} as const;

test("a state that was sealed before there were witnesses opens with all it holds, and witnesses from then on", async () => {
  const file = new MemoryFile();
  file.content = Uint8Array.from(fromBase64(OLD.keyFile));
  const host = await TestHost.start({ file, generations: [Uint8Array.from(fromBase64(OLD.state))] });
  const { state, serial } = await host.call("status", {});
  assert.deepEqual([state, serial], ["operational", OLD.serial]);
  await assert.rejects(host.call("destroy", { ref: fromBase64(OLD.destroyed) }), code("NOT_FOUND"));
  assert.deepEqual(await witnessed(host), []);
  await host.call("signCheckpoint", { ref: fromBase64(OLD.signing), ...two, proof: [] });
  const again = await host.restart();
  assert.deepEqual(await witnessed(again), [[0n, 2n]]);
  await assert.rejects(again.call("destroy", { ref: fromBase64(OLD.destroyed) }), code("NOT_FOUND"));
});
