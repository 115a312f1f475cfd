import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { pkcs11Bench, TestClient } from "@casemate/testkit/pkcs11";
import { dropped } from "./dropped.ts";
import { createPkcs11Server } from "./index.ts";

const SERIES = 'casemate_pkcs11_connections_dropped_total{door="socket"}';

test("a connection beyond the limit is closed, counted, and on the log; those that are open go on", async () => {
  await using bench = await pkcs11Bench((parts) =>
    createPkcs11Server({ ...parts, objects: parts.keyring.objects, maxConnections: 1 }),
  );
  await using client = await TestClient.open(bench.socketPath, { version: 2 });
  for (let i = 0; i < 3; i++) {
    const refused = connect(bench.socketPath);
    await once(refused, "close");
  }
  assert.equal(bench.keyring.metrics()[SERIES], 3);
  const told = bench.log.lines.filter((line) => /as many are open as may be/.test(line));
  assert.deepEqual(told, ['pkcs11: connections were closed, since as many are open as may be {"dropped":1,"limit":1}']);
  await client.call("C_GetInfo");
});

test("many refusals make one line at once and one for each pause after it, with their number", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const told: unknown[] = [];
  let counted = 0;
  const log = {
    info: () => undefined,
    warn: ({ dropped: number }: { readonly dropped?: unknown }) => told.push(number),
  };
  const server = createServer();
  const refusals = dropped({ keyring: { count: () => void counted++ }, log }, 1000);
  refusals.limit(server, "socket", 0);
  const drop = (times: number): void => {
    for (let i = 0; i < times; i++) server.emit("drop");
  };
  drop(5);
  assert.deepEqual(told, [1]);
  t.mock.timers.tick(1000);
  assert.deepEqual(told, [1, 4]);
  t.mock.timers.tick(1000);
  drop(2);
  assert.deepEqual(told, [1, 4, 1], "after a quiet minute the next is told at once");
  refusals.close();
  assert.deepEqual(told, [1, 4, 1, 1], "nothing is kept back at the end");
  assert.equal(counted, 7);
});
