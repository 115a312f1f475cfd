/** For tests: an application with a session that may write, and the user logged in. */
import { toUtf8 } from "@casemate/foundation/bytes";
import { CKA, CKF, CKK, CKM, CKO, CKR, CKU } from "@casemate/protocols/p11-rpc";
import { pkcs11Bench } from "./bench.ts";
import { attribute, mechanism, TestClient } from "./client.ts";

export type Template = readonly ReturnType<typeof attribute>[];

export const RO = CKF.SERIAL_SESSION;
export const RW = RO | CKF.RW_SESSION;
/** The curve's object identifier, as CKA_EC_PARAMS has it. */
export const P256 = Uint8Array.fromHex("06082a8648ce3d030107");
/** Of 128 bits. */
export const KEY = Uint8Array.fromHex("000102030405060708090a0b0c0d0e0f");

export async function openLoggedIn(...create: Parameters<typeof pkcs11Bench>) {
  const bench = await pkcs11Bench(...create);
  const client = await TestClient.open(bench.socketPath, { version: 2 });
  const [session] = await client.call("C_OpenSession", 0, RW);
  await client.call("C_Login", session, CKU.USER, toUtf8(bench.adminToken));
  return {
    bench,
    client,
    session,
    /** The value of an attribute, or why it is not told. */
    read: async (object: number, type: number) => {
      const [[found], rv] = await client.call("C_GetAttributeValue", session, object, [{ type, capacity: 4096 }]);
      return rv === CKR.OK ? found?.value : rv;
    },
    /** An AES key of the session. */
    aes: async (): Promise<number> => {
      const [key] = await client.call("C_CreateObject", session, [
        attribute(CKA.CLASS, CKO.SECRET_KEY),
        attribute(CKA.KEY_TYPE, CKK.AES),
        attribute(CKA.VALUE, KEY),
      ]);
      return key;
    },
    /** A P-256 pair: its public and its private half. */
    pairOf: (publicPart: Template, privatePart: Template, at = session) =>
      client.call(
        "C_GenerateKeyPair",
        at,
        mechanism(CKM.EC_KEY_PAIR_GEN),
        [attribute(CKA.EC_PARAMS, P256), ...publicPart],
        privatePart,
      ),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}
