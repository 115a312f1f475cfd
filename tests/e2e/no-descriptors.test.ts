/** A server whose descriptors are all in use: a device's process that ends then is replaced once there are some again. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { casemate, startServer, temporary } from "./harness.ts";
import { childOf } from "./promise.ts";

const DESCRIPTORS = 100;
/** Less than the pipes of a new process. */
const PROCESS_TAKES = 6;
/** Too few for a device's process; Node itself has enough. */
const TOO_FEW = [28, 31, 34] as const;

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await holds()) return;
    await sleep(20);
  }
  assert.fail(`did not happen: ${what}`);
}

async function state(data: string): Promise<string> {
  const { stdout, stderr, status } = await casemate(data, ["device", "show", "hsm-1", "--json"]);
  assert.equal(status, 0, stderr);
  return (JSON.parse(stdout) as { readonly status: { readonly state: string } }).status.state;
}

/** Connections that never say anything, more than the server can take. */
function crowd(t: TestContext, data: string): () => void {
  const sockets: Socket[] = [];
  for (const name of ["casemate.sock", "pkcs11.sock"]) {
    for (let i = 0; i < DESCRIPTORS; i++) sockets.push(connect(join(data, name)).on("error", () => undefined));
  }
  const leave = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  t.after(leave);
  return leave;
}

test("a virtual HSM whose process ends while no descriptor is free comes back when one is, and the server lives on", async (t) => {
  using directory = temporary();
  const data = join(directory.path, "data");
  const server = await startServer(data, [], DESCRIPTORS);
  try {
    assert.equal((await casemate(data, ["key", "create", "k", "--algorithm", "ed25519"])).status, 0);
    const guest = childOf(server.pid);
    const leave = crowd(t, data);
    await until("descriptors in use", () => readdirSync(`/proc/${server.pid}/fd`).length > DESCRIPTORS - PROCESS_TAKES);
    process.kill(guest, "SIGKILL");
    await until("the log says why", () =>
      readFileSync(join(data, "server.log"), "utf8").includes("no free file descriptor (EMFILE)"),
    );
    assert.ok(existsSync(`/proc/${server.pid}`), "the server lives");
    leave();
    await until("the device is back", async () => (await state(data)) === "operational");
    assert.equal((await casemate(data, ["key", "rotate", "k"])).status, 0);
    assert.equal(server.stderr(), "");
  } finally {
    assert.equal(await server.stop(), 0, server.stderr());
  }
});

test("a start with too few descriptors is refused with what is missing and what to do", async () => {
  using directory = temporary();
  for (const descriptors of TOO_FEW) {
    await assert.rejects(startServer(join(directory.path, `${descriptors}`), [], descriptors), (error: Error) => {
      assert.match(error.message, /no free file descriptor \(EMFILE\)/);
      assert.match(error.message, /ulimit -n/);
      assert.doesNotMatch(error.message, /^ {4}at /m);
      return true;
    });
  }
});
