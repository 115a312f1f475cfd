import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import type { Ports } from "./context.ts";
import { openRemote, type RemoteDoor } from "./remote.ts";

/** A door that needs no certificate: nobody gets as far. */
function door(waitMs: number): Promise<RemoteDoor> {
  const options = { host: "127.0.0.1", port: 0, key: "", cert: "", waitMs };
  const never = (): never => assert.fail("nobody comes in");
  return openRemote(options, {} as Ports, never, () => undefined);
}

for (const [what, bytes] of [
  ["says nothing", ""],
  ["begins TLS and goes no further", "\u0016\u0003\u0001"],
] as const) {
  test(`a connection from elsewhere that ${what} is closed after the time that one without a token has`, async (t) => {
    const remote = await door(50);
    t.after(() => remote.close());
    const socket = connect(remote.port, "127.0.0.1");
    socket.resume().write(bytes, "latin1");
    await once(socket, "close");
  });
}

test("the end of the server waits for no connection that is still to begin TLS", async () => {
  const remote = await door(3_600_000);
  const socket = connect(remote.port, "127.0.0.1");
  socket.on("error", () => undefined).resume();
  await once(socket, "connect");
  await Promise.all([once(socket, "close"), remote.close()]);
});
