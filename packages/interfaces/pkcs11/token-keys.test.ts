/** Token keys: how they come to be, and what the token keeps of what their templates say. */
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { after, describe, test } from "node:test";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKK, CKM, CKO, CKR, CKU } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, openLoggedIn, P256, RW, TestClient, type Template } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

const TOKEN = attribute(CKA.TOKEN, true);
const MESSAGE = toUtf8("message");

const opened = await openLoggedIn((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
after(() => opened[Symbol.asyncDispose]());
const { bench, client, session, read, pairOf } = opened;

const rsaPair = (bits: number, publicPart: Template, privatePart: Template) =>
  client.call(
    "C_GenerateKeyPair",
    session,
    mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
    [attribute(CKA.MODULUS_BITS, bits), ...publicPart],
    privatePart,
  );

describe("a private session key is copied into the device", () => {
  const open = [attribute(CKA.SIGN, true), attribute(CKA.SENSITIVE, false), attribute(CKA.EXTRACTABLE, true)];
  for (const [name, make, how] of [
    ["RSA", () => rsaPair(2048, [], open), CKM.SHA256_RSA_PKCS],
    ["EC", () => pairOf([], open), CKM.ECDSA_SHA256],
  ] as const) {
    test(`${name}: both sign for the same public key`, async () => {
      const [publicKey, privateKey] = await make();
      const held = (await bench.sessionKeys.call("status", {})).keys;
      const [copied] = await client.call("C_CopyObject", session, privateKey, [
        TOKEN,
        attribute(CKA.LABEL, `copied ${name}`),
        attribute(CKA.EXTRACTABLE, false),
      ]);
      assert.equal((await bench.sessionKeys.call("status", {})).keys, held, "the one of the session, and no other");
      const key = createPublicKey({
        key: Buffer.from((await read(publicKey, CKA.PUBLIC_KEY_INFO)) as Uint8Array),
        format: "der",
        type: "spki",
      });
      for (const signing of [privateKey, copied]) {
        await client.call("C_SignInit", session, mechanism(how), signing);
        const [signature] = await client.call("C_Sign", session, MESSAGE, 512);
        assert.ok(verify("sha256", MESSAGE, { key, dsaEncoding: "ieee-p1363" }, signature as Uint8Array));
      }
      const states = await Promise.all(
        [CKA.TOKEN, CKA.SENSITIVE, CKA.EXTRACTABLE, CKA.LOCAL, CKA.NEVER_EXTRACTABLE].map((type) => read(copied, type)),
      );
      assert.deepEqual(states, [1, 1, 0, 0, 0]);
      assert.equal(await read(privateKey, CKA.EXTRACTABLE), 1);
      assert.deepEqual(await read(copied, CKA.LABEL), toUtf8(`copied ${name}`));
    });
  }

  test("what the device does not hold is refused as C_CreateObject refuses it", async () => {
    const [, small] = await rsaPair(1024, [], open);
    assert.equal(await client.rv("C_CopyObject", session, small, [TOKEN]), CKR.ATTRIBUTE_VALUE_INVALID);
    const [, shut] = await pairOf([], [attribute(CKA.EXTRACTABLE, false)]);
    const wider = [TOKEN, attribute(CKA.EXTRACTABLE, true)];
    assert.equal(await client.rv("C_CopyObject", session, shut, wider), CKR.ATTRIBUTE_READ_ONLY);
  });
});

describe("the public half of a token key", () => {
  const hidden = attribute(CKA.PRIVATE, true);

  test("is seen by everybody, or after a login alone where its template says so", async () => {
    const seen = async (label: string): Promise<number> => {
      await using stranger = await TestClient.open(bench.socketPath, { version: 2 });
      const [handle] = await stranger.call("C_OpenSession", 0, RW);
      await stranger.call("C_FindObjectsInit", handle, [attribute(CKA.LABEL, label)]);
      const [found] = (await stranger.call("C_FindObjects", handle, 9)) as [number[]];
      return found.length;
    };
    const open = attribute(CKA.LABEL, "open half");
    await pairOf([TOKEN, open], [TOKEN]);
    const closed = attribute(CKA.LABEL, "closed half");
    const [half] = await pairOf([TOKEN, hidden, closed], [TOKEN]);
    assert.deepEqual([await seen("open half"), await seen("closed half")], [1, 0]);
    assert.equal(await read(half, CKA.PRIVATE), 1);
  });

  test("is private in the session, or alone on the token", async () => {
    const [inSession] = await pairOf([attribute(CKA.TOKEN, false), hidden], [TOKEN]);
    const [alone] = await pairOf([TOKEN, hidden], []);
    for (const [object, token] of [
      [inSession, 0],
      [alone, 1],
    ] as const)
      assert.deepEqual([await read(object, CKA.PRIVATE), await read(object, CKA.TOKEN)], [1, token]);
  });
});

describe("the halves of a token key are found by the same id", () => {
  const id = attribute(CKA.ID, Uint8Array.of(4, 7));
  const EMPTY = attribute(CKA.ID, new Uint8Array(0));
  for (const [name, publicPart, privatePart] of [
    ["the private template alone", [TOKEN], [TOKEN, id]],
    ["the public template alone", [TOKEN, id], [TOKEN]],
    ["one template, the other an empty one,", [TOKEN, EMPTY], [TOKEN, id]],
    ["the private template alone, for a public half in the session,", [attribute(CKA.TOKEN, false)], [TOKEN, id]],
  ] as const) {
    test(`where ${name} gives it`, async () => {
      for (const object of await pairOf(publicPart, privatePart))
        assert.deepEqual(await read(object, CKA.ID), Uint8Array.of(4, 7));
    });
  }

  test("and by their own ones where both templates give one", async () => {
    const [publicKey, privateKey] = await pairOf([TOKEN, attribute(CKA.ID, Uint8Array.of(8))], [TOKEN, id]);
    assert.deepEqual(await read(publicKey, CKA.ID), Uint8Array.of(8));
    assert.deepEqual(await read(privateKey, CKA.ID), Uint8Array.of(4, 7));
  });

  test("where an application brings the private half alone; the label is the same, too", async () => {
    const { d } = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
    const [privateKey] = await client.call("C_CreateObject", session, [
      attribute(CKA.CLASS, CKO.PRIVATE_KEY),
      attribute(CKA.KEY_TYPE, CKK.EC),
      attribute(CKA.EC_PARAMS, P256),
      attribute(CKA.VALUE, Uint8Array.fromBase64(d ?? "", { alphabet: "base64url" })),
      attribute(CKA.ID, Uint8Array.of(9, 9)),
      attribute(CKA.LABEL, "brought along"),
      TOKEN,
    ]);
    await client.call("C_FindObjectsInit", session, [attribute(CKA.ID, Uint8Array.of(9, 9))]);
    const [found] = (await client.call("C_FindObjects", session, 9)) as [number[]];
    await client.call("C_FindObjectsFinal", session);
    assert.equal(found.length, 2);
    assert.ok(found.includes(privateKey));
    for (const object of found) assert.deepEqual(await read(object, CKA.LABEL), toUtf8("brought along"));
    const classes = await Promise.all(found.map((object) => read(object, CKA.CLASS)));
    assert.deepEqual(new Set(classes), new Set([CKO.PUBLIC_KEY, CKO.PRIVATE_KEY]));
  });
});

describe("long attributes of a token key", () => {
  /** Differs in every byte from place to place. */
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
  const set = (object: number, type: number, value: Uint8Array) =>
    client.rv("C_SetAttributeValue", session, object, [attribute(type, value)]);
  const labels = async (name: string): Promise<string[]> =>
    Object.keys((await bench.keyring.getKey(bench.admin, name)).labels).filter((label) => label.includes(".101"));

  test("are kept up to 2 KiB, as other applications see, and shorter values leave nothing of them", async () => {
    const subject = attribute(CKA.SUBJECT, bytes(700));
    const [publicKey, privateKey] = await pairOf([TOKEN, subject], [TOKEN, subject, attribute(CKA.LABEL, "long")]);
    for (const object of [publicKey, privateKey]) assert.deepEqual(await read(object, CKA.SUBJECT), bytes(700));
    assert.equal((await labels("long")).length, 8);
    for (const length of [2048, 190, 191, 192, 0, 383, 384, 385, 20]) {
      assert.equal(await set(publicKey, CKA.SUBJECT, bytes(length)), CKR.OK);
      assert.deepEqual(await read(publicKey, CKA.SUBJECT), bytes(length), `${length} bytes`);
    }
    assert.deepEqual(
      (await labels("long")).filter((label) => label.includes("pub")),
      ["pkcs11.pub.101"],
    );
    assert.deepEqual(await read(privateKey, CKA.SUBJECT), bytes(700), "the other half keeps its own");

    assert.equal(await set(privateKey, CKA.ID, bytes(2048)), CKR.OK);
    await using other = await TestClient.open(bench.socketPath, { version: 2 });
    const [handle] = await other.call("C_OpenSession", 0, RW);
    await other.call("C_Login", handle, CKU.USER, toUtf8(bench.adminToken));
    await other.call("C_FindObjectsInit", handle, [attribute(CKA.ID, bytes(2048)), subject]);
    const [found] = (await other.call("C_FindObjects", handle, 9)) as [number[]];
    assert.equal(found.length, 1);
  });

  test("find no room beyond that, nor where all together are too long", async () => {
    const tooLong = [TOKEN, attribute(CKA.SUBJECT, bytes(2049))];
    await assert.rejects(pairOf(tooLong, [TOKEN]), { rv: CKR.DEVICE_MEMORY });
    const [publicKey, privateKey] = await pairOf([TOKEN], [TOKEN]);
    const answers: number[] = [];
    for (const object of [publicKey, privateKey])
      for (const type of [CKA.SUBJECT, CKA.ID, CKA.LABEL]) answers.push(await set(object, type, bytes(2048)));
    assert.deepEqual(answers, [...Array<number>(5).fill(CKR.OK), CKR.DEVICE_MEMORY]);
    assert.equal(await set(privateKey, CKA.LABEL, bytes(20)), CKR.OK);
    // There is room to hide a half, and to leave one.
    await client.call("C_DestroyObject", session, privateKey);
    await client.call("C_DestroyObject", session, publicKey);
  });
});
