/** One object among many found through PKCS#11, by label and by id: three calls over the socket, as an application makes them. */
import { CKA, CKF, CKO, CKU } from "@casemate/protocols/p11-rpc";
import { toUtf8 } from "@casemate/foundation/bytes";
import { createPkcs11Server } from "@casemate/interfaces/pkcs11";
import { attribute, pkcs11Bench, TestClient } from "@casemate/testkit/pkcs11";

const KEYS = 10_000;
const SIDE_BY_SIDE = 16;
const LOOK_UPS = 500;

export interface FindFigure {
  readonly by: "label" | "id";
  readonly keys: number;
  /** Milliseconds for C_FindObjectsInit, C_FindObjects and C_FindObjectsFinal together. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Most that the median may be. */
export const FIND_TARGET_MS = 1;

export async function findFigures(report: (line: string) => void): Promise<readonly FindFigure[]> {
  await using bench = await pkcs11Bench((parts) => createPkcs11Server({ ...parts, objects: parts.keyring.objects }));
  let next = 0;
  const maker = async (): Promise<void> => {
    while (next < KEYS) {
      const name = `key-${next++}`;
      if (next % 2500 === 0) report(`${next} of ${KEYS} keys made`);
      await bench.keyring.createKey(bench.admin, { name, algorithm: "aes-256" });
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, maker));

  await using client = await TestClient.open(bench.socketPath);
  const [session] = await client.call("C_OpenSession", 0, CKF.SERIAL_SESSION);
  await client.call("C_Login", session, CKU.USER, toUtf8(bench.adminToken));
  const find = async (type: number, value: Uint8Array): Promise<readonly number[]> => {
    await client.call("C_FindObjectsInit", session, [attribute(CKA.CLASS, CKO.SECRET_KEY), attribute(type, value)]);
    const [handles] = await client.call("C_FindObjects", session, 10);
    await client.call("C_FindObjectsFinal", session);
    return handles as readonly number[];
  };
  /** Names far apart, and the ids that go with them. */
  const labels = Array.from({ length: LOOK_UPS }, (_, i) => toUtf8(`key-${(i * 7919) % KEYS}`));
  const ids: Uint8Array[] = [];
  for (const label of labels) {
    const [handle = 0] = await find(CKA.LABEL, label);
    const [[id]] = await client.call("C_GetAttributeValue", session, handle, [{ type: CKA.ID, capacity: 64 }]);
    if (!(id?.value instanceof Uint8Array)) throw new Error("a key without an id");
    ids.push(id.value);
  }

  const figures: FindFigure[] = [];
  for (const [by, type, values] of [
    ["label", CKA.LABEL, labels],
    ["id", CKA.ID, ids],
  ] as const) {
    const took: number[] = [];
    for (const value of values) {
      const begun = performance.now();
      const found = await find(type, value);
      took.push(performance.now() - begun);
      if (found.length !== 1) throw new Error(`${found.length} objects found by one ${by}`);
    }
    took.sort((a, b) => a - b);
    const at = (share: number): number => Math.round(1000 * (took[Math.floor(took.length * share)] ?? 0)) / 1000;
    figures.push({ by, keys: KEYS, p50Ms: at(0.5), p99Ms: at(0.99) });
  }
  return figures;
}
