import assert from "node:assert/strict";
import { once } from "node:events";
import { linkSync, mkdirSync, readFileSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import { pkcs11Bench, TestClient } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

test("what stands at the socket's path and is no socket is left there, and the start says so; a left-over socket is replaced", async () => {
  await using bench = await pkcs11Bench(async (parts) => {
    const open = () => createPkcs11Server({ ...parts, objects: parts.keyring.objects });
    const { socketPath } = parts;
    const refused = (error: unknown): boolean =>
      isCasemateError(error) &&
      error.code === "CONFIG_INVALID" &&
      error.message === `${socketPath} is there and is no socket` &&
      error.hint !== undefined;

    mkdirSync(socketPath);
    await assert.rejects(open(), refused);
    rmdirSync(socketPath);

    writeFileSync(socketPath, "somebody's");
    await assert.rejects(open(), refused);
    assert.equal(readFileSync(socketPath, "utf8"), "somebody's");
    rmSync(socketPath);

    symlinkSync(parts.directory, socketPath);
    await assert.rejects(open(), refused);
    rmSync(socketPath);

    const earlier = createServer().listen(`${socketPath}.earlier`);
    await once(earlier, "listening");
    linkSync(`${socketPath}.earlier`, socketPath);
    await assert.rejects(open(), { code: "STORAGE_IN_USE" });
    earlier.close();
    await once(earlier, "close");
    return open();
  });
  await using client = await TestClient.open(bench.socketPath, { version: 2 });
  await client.call("C_GetInfo");
});
