/** What the mechanisms promise and only trying shows: which curves there are, and which hashes RSA-OAEP takes, with a label and without. Leaves nothing in the token. */
import { createHash } from "node:crypto";
import { KEY_ALGORITHMS, type KeyAlgorithm } from "@casemate/devices/contract";
import { CKA, CKK, CKO } from "@casemate/protocols/p11-rpc";
import { CIPHER_ROWS, type OaepHash } from "../algorithms.ts";
import { createPlan, type PlanFields } from "../plan.ts";
import { ModuleError, isLost } from "../status.ts";
import type { Handle } from "./addon.ts";
import { oaepParameter } from "./cipher.ts";
import type { Lane } from "./lane.ts";
import { destroyObjects, generatePair } from "./make.ts";
import { rowOf } from "./templates.ts";

/** 2048 bits, odd: good enough for a key that nothing is ever decrypted with. */
function anyModulus(): Buffer {
  const blocks = [0, 1, 2, 3].map((block) => createHash("sha512").update(`casemate probe ${block}`).digest());
  const modulus = Buffer.concat(blocks);
  modulus[0] = (modulus[0] as number) | 0x80;
  modulus[255] = (modulus[255] as number) | 1;
  return modulus;
}

/** Whether `work` succeeds. @throws what says that the token is gone. */
function works(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (!(error instanceof ModuleError) || isLost(error)) throw error;
    return false;
  }
}

const worksWith = (lane: Lane, session: Handle, algorithm: KeyAlgorithm): boolean =>
  works(() => {
    const usages = rowOf(algorithm).keyType === CKK.EC_MONTGOMERY ? (["agree"] as const) : (["sign"] as const);
    const blank = Buffer.alloc(0);
    const object = { algorithm, usages, exportable: false, id: blank, label: blank, temporary: true };
    const { privateKey, publicKey } = generatePair(lane, session, object);
    destroyObjects(lane, session, privateKey, publicKey);
  });

/** The token's curves are tried with session keys. Sets whether they are named by PrintableString. */
function probeCurves(lane: Lane, session: Handle, base: PlanFields): { refused: string[]; printableCurves: boolean } {
  const refused: string[] = [];
  let printableCurves = false;
  for (const algorithm of KEY_ALGORITHMS) {
    const row = lane.plan.generates(algorithm);
    if (row?.curve === undefined || worksWith(lane, session, algorithm)) continue;
    if (row.curve.printable !== undefined && !printableCurves) {
      lane.plan = createPlan({ ...base, printableCurves: true });
      printableCurves = worksWith(lane, session, algorithm);
      lane.plan = createPlan({ ...base, printableCurves });
      if (printableCurves) continue;
    }
    refused.push(algorithm);
  }
  return { refused, printableCurves };
}

function probeOaep(lane: Lane, session: Handle): { refused: string[]; withoutLabel: string[] } {
  const { cryptoki } = lane;
  const schemes = [...CIPHER_ROWS].filter(
    ([scheme, { oaep }]) => oaep !== undefined && lane.plan.cipher(scheme) !== undefined,
  );
  if (schemes.length === 0) return { refused: [], withoutLabel: [] };
  let key: Handle | undefined;
  const made = works(() => {
    key = cryptoki.C_CreateObject(session, [
      { type: CKA.CLASS, value: CKO.PUBLIC_KEY },
      { type: CKA.KEY_TYPE, value: CKK.RSA },
      { type: CKA.TOKEN, value: false },
      { type: CKA.ENCRYPT, value: true },
      { type: CKA.MODULUS, value: anyModulus() },
      { type: CKA.PUBLIC_EXPONENT, value: Buffer.of(1, 0, 1) },
    ]);
  });
  const handle = key;
  // A token that takes no public keys from outside says nothing about hashes.
  if (!made || handle === undefined) return { refused: [], withoutLabel: [] };
  const encrypts = (mechanism: number, hash: OaepHash, label: Uint8Array): boolean =>
    works(() => {
      cryptoki.C_EncryptInit(session, { mechanism, parameter: oaepParameter(lane, hash, label) }, handle);
      cryptoki.C_Encrypt(session, Buffer.of(1, 2, 3), Buffer.alloc(1024));
    });
  const refused: string[] = [];
  const withoutLabel: string[] = [];
  for (const [scheme, { mechanism, oaep }] of schemes) {
    // Some modules refuse every label.
    if (oaep === undefined || encrypts(mechanism, oaep, Uint8Array.of(1))) continue;
    (encrypts(mechanism, oaep, new Uint8Array()) ? withoutLabel : refused).push(scheme);
  }
  destroyObjects(lane, session, handle);
  return { refused, withoutLabel };
}

/** Brings the lane's plan to what holds. */
export function probe(lane: Lane): PlanFields {
  const base = lane.plan.fields;
  if (lane.plan.quirks.noSessionObjects === true) return base;
  const fields = lane.session.run((session) => {
    const { refused, printableCurves } = probeCurves(lane, session, base);
    const oaep = probeOaep(lane, session);
    const { withoutLabel } = oaep;
    return { ...base, printableCurves, refused: [...refused, ...oaep.refused], withoutLabel };
  });
  lane.plan = createPlan(fields);
  return fields;
}
