import assert from "node:assert/strict";
import { test } from "node:test";
import { launchUnconfined } from "@casemate/devices/boundary";
import { CasemateError } from "@casemate/foundation/errors";

const launch = (log: string[] = []) =>
  launchUnconfined({
    entry: `${import.meta.dirname}/guest/blocking.testguest.ts`,
    channels: 1,
    environment: {},
    log: (line) => log.push(line),
  });

test("a thread that waits in read(2) answers in order, large and small, errors among them, and ends with its channel", async () => {
  const log: string[] = [];
  const guest = await launch(log);
  const [channel] = guest.channels;
  assert.ok(channel !== undefined);
  const sizes = [0, 1, 65_535, 65_536, 3_000_000, 7];
  const answered: number[] = [];
  const bodies = await Promise.all(
    sizes.map(async (size, i) => {
      const body = await channel.request(1, new Uint8Array(size).fill(i + 1));
      answered.push(size);
      return body.slice();
    }),
  );
  assert.deepEqual(answered, sizes);
  for (const [i, body] of bodies.entries()) {
    assert.equal(body.length, sizes[i]);
    assert.ok(body.every((byte) => byte === i + 1));
  }
  await assert.rejects(channel.request(9, new Uint8Array(1)), { code: "NOT_SUPPORTED", hint: "Take another." });
  await assert.rejects(channel.request(2, new Uint8Array(1)), { code: "TOO_LARGE" });
  await assert.rejects(channel.request(3, new Uint8Array(1)), (error: Error & { code?: string }) => {
    assert.equal(error.code, "INTERNAL");
    assert.doesNotMatch(error.message, /stays inside/);
    return true;
  });
  assert.equal((await channel.request(1, Uint8Array.of(5)))[0], 5);
  guest.kill(new CasemateError("DEVICE_ABSENT", "over"));
  await guest.exited;
  assert.ok(log.some((line) => line.startsWith("TypeError")));
  assert.ok(log.every((line) => !line.includes("stays inside")));
});

test("a thread that waits in read(2) does not outlive a request to stop", async () => {
  const guest = await launch();
  const begun = performance.now();
  await guest.stop();
  assert.equal((await guest.exited).signal, "SIGTERM");
  assert.ok(performance.now() - begun < 1500);
});
