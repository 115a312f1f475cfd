import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKF, CKR, CKU, NULL_BYTES } from "@casemate/protocols/p11-rpc";
import { pkcs11Bench, TestClient, type Pkcs11Bench } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const RW = CKF.SERIAL_SESSION | CKF.RW_SESSION;
const WHOLE = 0;
const DEVICE = 1;

describe("PINs of PKCS#11 tokens", () => {
  let bench: Pkcs11Bench;
  before(async () => {
    bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
  });
  after(() => bench[Symbol.asyncDispose]());

  const open = (socketPath = bench.socketPath) => TestClient.open(socketPath, { version: 2 });
  const session = async (client: TestClient, slot: number): Promise<number> =>
    (await client.call("C_OpenSession", slot, RW))[0];
  const login = async (client: TestClient, slot: number, user: number, pin: string): Promise<number> =>
    client.rv("C_Login", await session(client, slot), user, toUtf8(pin));
  /** The security officer sets the user's PIN. */
  const initPin = async (slot: number, pin: string): Promise<void> => {
    await using client = await open();
    const handle = await session(client, slot);
    await client.call("C_Login", handle, CKU.SO, toUtf8(bench.adminToken));
    await client.call("C_InitPIN", handle, toUtf8(pin));
  };
  const living = async (): Promise<number> => {
    const { items } = await bench.keyring.listTokens(bench.admin, { limit: 1000 });
    return items.filter((token) => token.principal.startsWith("pkcs11-") && token.revokedAt === undefined).length;
  };

  test("before a PIN is set only API tokens open the token, and no try is counted", async () => {
    await using client = await open();
    const flags = async (): Promise<number> =>
      (await client.call("C_GetTokenInfo", DEVICE))[4] & (CKF.USER_PIN_COUNT_LOW | CKF.USER_PIN_FINAL_TRY);
    assert.equal(await flags(), 0);
    for (let i = 0; i < 12; i++) assert.equal(await login(client, DEVICE, CKU.USER, "1234"), CKR.PIN_INCORRECT);
    assert.equal(await flags(), CKF.USER_PIN_COUNT_LOW);
    assert.equal(await login(client, DEVICE, CKU.USER, ""), CKR.PIN_INCORRECT);
    assert.equal(await login(client, DEVICE, CKU.USER, "x".repeat(300)), CKR.PIN_INCORRECT);
    assert.equal(await login(client, DEVICE, CKU.USER, bench.adminToken), CKR.OK);
    assert.equal(await flags(), 0);
  });

  test("a new PIN ends the API token of the one before, and C_InitToken that of the last", async () => {
    await initPin(DEVICE, "first");
    assert.equal(await living(), 1);
    await using before = await open();
    assert.equal(await login(before, DEVICE, CKU.USER, "first"), CKR.OK);
    await before.call("C_Finalize");
    await initPin(DEVICE, "second");
    assert.equal(await living(), 1);
    await using client = await open();
    assert.equal(await login(client, DEVICE, CKU.USER, "first"), CKR.PIN_INCORRECT);
    const handle = await session(client, DEVICE);
    assert.equal(await client.rv("C_SetPIN", handle, toUtf8("second"), toUtf8("abc")), CKR.PIN_LEN_RANGE);
    assert.equal(await client.rv("C_SetPIN", handle, toUtf8("second"), NULL_BYTES), CKR.ARGUMENTS_BAD);
    await client.call("C_SetPIN", handle, toUtf8("second"), toUtf8("third"));
    assert.equal(await living(), 1, "another PIN opens the same token");
    assert.equal(await client.rv("C_Login", handle, CKU.USER, toUtf8("third")), CKR.OK);
    await client.call("C_CloseAllSessions", DEVICE);
    await client.call("C_InitToken", DEVICE, toUtf8(bench.adminToken), "renamed".padEnd(32));
    assert.equal(await living(), 0);
    assert.equal(await login(client, DEVICE, CKU.USER, "third"), CKR.PIN_INCORRECT);
  });

  test("a refused login is on record: wrong, locked", async () => {
    const refusals = (): string[] =>
      bench.audit.entries
        .filter(({ action, source }) => action === "refused" && source === "pkcs11")
        .map(({ outcome, details }) => `${String(details?.["request"])}: ${outcome}`);
    await using client = await open();
    const before = refusals().length;
    await login(client, DEVICE, CKU.USER, "1234");
    await login(client, DEVICE, CKU.SO, "no officer");
    assert.deepEqual(refusals().slice(before), [
      "login to hsm-1 as user: PIN_WRONG",
      "login to hsm-1 as so: PIN_WRONG",
    ]);
    for (let i = 0; i < 9; i++) await login(client, DEVICE, CKU.SO, "no officer");
    assert.equal(await login(client, DEVICE, CKU.SO, "no officer"), CKR.PIN_LOCKED);
    assert.equal(refusals().at(-1), "login to hsm-1 as so: PIN_LOCKED");
    assert.ok(
      bench.log.lines.some((line) => line.includes(`"home":"hsm-1"`)),
      "the log says which token",
    );
  });

  test("right PINs side by side all open, wrong ones do not outrun the counter", async () => {
    await initPin(WHOLE, "right");
    const clients = await Promise.all(Array.from({ length: 30 }, () => open()));
    try {
      const tries = (pin: string) => Promise.all(clients.map(async (client) => login(client, WHOLE, CKU.USER, pin)));
      assert.deepEqual(new Set(await tries(bench.adminToken)), new Set([CKR.OK]));
      for (const client of clients) await client.call("C_CloseAllSessions", WHOLE);
      const answers = await tries("wrong");
      assert.equal(answers.filter((rv) => rv === CKR.PIN_INCORRECT).length, 9);
      assert.equal(answers.filter((rv) => rv === CKR.PIN_LOCKED).length, 21);
    } finally {
      await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
    }
  });

  test("wrong tries outlive a restart, and a right PIN wipes them", async () => {
    await initPin(DEVICE, "right");
    await using client = await open();
    for (let i = 0; i < 8; i++) assert.equal(await login(client, DEVICE, CKU.USER, "wrong"), CKR.PIN_INCORRECT);

    const restarted = async (name: string, use: (client: TestClient) => Promise<void>): Promise<void> => {
      const socketPath = join(bench.directory, name);
      const server = await createPkcs11Server({ ...bench, socketPath, objects: bench.keyring.objects });
      try {
        await using other = await open(socketPath);
        await use(other);
      } finally {
        await server.close();
      }
    };
    await restarted("again.sock", async (other) => {
      const [, , , , flags] = await other.call("C_GetTokenInfo", DEVICE);
      assert.notEqual(flags & CKF.USER_PIN_COUNT_LOW, 0);
      assert.equal(await login(other, DEVICE, CKU.USER, "wrong"), CKR.PIN_INCORRECT);
      const [, , , , last] = await other.call("C_GetTokenInfo", DEVICE);
      assert.notEqual(last & CKF.USER_PIN_FINAL_TRY, 0);
      assert.equal(await login(other, DEVICE, CKU.USER, "right"), CKR.OK);
    });
    await restarted("wiped.sock", async (other) => {
      const [, , , , flags] = await other.call("C_GetTokenInfo", DEVICE);
      assert.equal(flags & CKF.USER_PIN_COUNT_LOW, 0);
      for (let i = 0; i < 9; i++) assert.equal(await login(other, DEVICE, CKU.USER, "wrong"), CKR.PIN_INCORRECT);
      assert.equal(await login(other, DEVICE, CKU.USER, "wrong"), CKR.PIN_LOCKED);
    });
    await restarted("locked.sock", async (other) => {
      assert.equal(await login(other, DEVICE, CKU.USER, "right"), CKR.PIN_LOCKED, "a restart unlocks nothing");
    });
  });
});
