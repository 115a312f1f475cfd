// No call waits for ever: not for an answer that cannot be written, and not for the rest of a request that never comes.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CKA, CKM, CKR } from "@casemate/protocols/p11-rpc";
import { attribute, mechanism, openLoggedIn } from "@casemate/testkit/pkcs11";
import { createPkcs11Server } from "./index.ts";

describe("calls that get no answer of their own", () => {
  test("an answer that cannot be written becomes CKR_GENERAL_ERROR, and the connection goes on", async () => {
    await using opened = await openLoggedIn((parts) => {
      const { keyring } = parts;
      const faulty = new Proxy(keyring, {
        get(_target, name: keyof typeof keyring) {
          if (name === "sign") return async () => ({ results: ["x".repeat(64)] });
          const member = keyring[name] as unknown;
          return typeof member === "function" ? (member.bind(keyring) as unknown) : member;
        },
      });
      return createPkcs11Server({ ...parts, keyring: faulty, objects: keyring.objects });
    });
    const { client, session, pairOf } = opened;
    const [, key] = await pairOf([], [attribute(CKA.TOKEN, true), attribute(CKA.SIGN, true)]);
    await client.call("C_SignInit", session, mechanism(CKM.ECDSA_SHA256), key);
    assert.equal(await client.rv("C_Sign", session, new Uint8Array(5), 64), CKR.GENERAL_ERROR);
    assert.equal(await client.rv("C_GetSessionInfo", session), CKR.OK);
  });

  test("a connection whose request stays unfinished is closed, one that is merely silent is not", async () => {
    await using opened = await openLoggedIn((parts) =>
      createPkcs11Server({ ...parts, objects: parts.keyring.objects, unfinishedMs: 300 }),
    );
    const { client, session } = opened;
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert.equal(await client.rv("C_GetSessionInfo", session), CKR.OK);
    // Twenty bytes are promised, and three come.
    const half = Uint8Array.of(0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 20, 1, 2, 3);
    assert.equal(await client.raw(half, 77), undefined);
  });
});
