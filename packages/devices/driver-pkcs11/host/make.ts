/** New keys, and the end of keys. */
import { randomBytes } from "node:crypto";
import { USAGES, type KeyAlgorithm, type Usage } from "@casemate/devices/contract";
import { toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { CKA } from "@casemate/protocols/p11-rpc";
import { encodeKeyRef } from "../key-ref.ts";
import { isLost } from "../status.ts";
import type { Handlers } from "../wire.ts";
import type { Handle } from "./addon.ts";
import { withKey } from "./batch.ts";
import { describe, type Key, type KeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";
import type { PublicHalf } from "./public-half.ts";
import { spkiOf } from "./public-objects.ts";
import {
  checkSpec,
  isPair,
  privateTemplate,
  publicTemplate,
  rowOf,
  secretTemplate,
  withTemplates,
  type NewObject,
} from "./templates.ts";

const ID_BYTES = 16;

export const usageNames = (usages: Readonly<Record<Usage, boolean>>): Usage[] =>
  USAGES.filter((usage) => usages[usage]);

/** Identity and properties of a key to be made. The id is random, so that no two keys of a token share it. */
export function newObject(spec: {
  readonly algorithm: KeyAlgorithm;
  readonly usages: Readonly<Record<Usage, boolean>>;
  readonly exportable: boolean;
  readonly label: string;
}): NewObject {
  const id = randomBytes(ID_BYTES);
  const label = spec.label === "" ? `casemate-${id.toString("hex").slice(0, 12)}` : spec.label;
  return {
    algorithm: spec.algorithm,
    usages: usageNames(spec.usages),
    exportable: spec.exportable,
    id,
    label: Buffer.from(toUtf8(label)),
  };
}

export function generatePair(lane: Lane, session: Handle, object: NewObject) {
  const mechanism = { mechanism: rowOf(object.algorithm).generate };
  return withTemplates((trim) =>
    lane.cryptoki.C_GenerateKeyPair(
      session,
      mechanism,
      trim(publicTemplate(lane, object)),
      trim(privateTemplate(object)),
    ),
  );
}

export function generateSecret(lane: Lane, session: Handle, object: NewObject): Handle {
  const { generate, size } = rowOf(object.algorithm);
  return withTemplates((trim) =>
    lane.cryptoki.C_GenerateKey(session, { mechanism: generate }, trim(secretTemplate(object, size))),
  );
}

export function destroyObjects(lane: Lane, session: Handle, ...objects: readonly Handle[]): void {
  for (const object of objects) {
    try {
      lane.cryptoki.C_DestroyObject(session, object);
    } catch {
      // left over: nothing refers to it
    }
  }
}

/** The reference of a fresh object, by what the token really stored; the object goes again when it could not be found by it. */
export function referenceOf(
  lane: Lane,
  keys: KeyStore,
  session: Handle,
  made: readonly Handle[],
  object: NewObject,
): Uint8Array {
  const [handle] = made as [Handle];
  const { attributes } = describe(lane, session, handle);
  const ref = encodeKeyRef(lane.token, {
    algorithm: object.algorithm,
    objectClass: isPair(rowOf(object.algorithm)) ? "private" : "secret",
    id: attributes.get(CKA.ID) ?? new Uint8Array(),
    label: attributes.get(CKA.LABEL) ?? new Uint8Array(),
  });
  try {
    keys.resolve(ref);
  } catch (error) {
    destroyObjects(lane, session, ...made);
    throw error;
  }
  return ref;
}

export function makeHandlers(
  lane: Lane,
  keys: KeyStore,
): Pick<Handlers, "generate" | "destroy" | "publicKey" | "forget"> {
  const { cryptoki, session } = lane;
  return {
    generate: (spec) => {
      checkSpec(lane, spec.algorithm, usageNames(spec.usages));
      const object = newObject(spec);
      return session.run((open) => {
        if (!isPair(rowOf(spec.algorithm))) {
          const handle = generateSecret(lane, open, object);
          return { ref: referenceOf(lane, keys, open, [handle], object), publicKey: undefined };
        }
        const { privateKey, publicKey } = generatePair(lane, open, object);
        const spki = spkiOf(lane, open, publicKey, spec.algorithm);
        if (spki === undefined) {
          destroyObjects(lane, open, privateKey, publicKey);
          throw new CasemateError("DEVICE_FAILED", "the token does not show the public half of the key that it made");
        }
        return { ref: referenceOf(lane, keys, open, [privateKey, publicKey], object), publicKey: spki };
      });
    },
    publicKey: ({ ref }) => withKey(keys, ref, (key) => ({ bytes: keys.publicHalf(key, "always").spki })),
    destroy: ({ ref }) => {
      withKey(keys, ref, (key) => {
        const half = key.address.objectClass === "private" ? halfIfThere(keys, key) : undefined;
        session.run((open) => {
          cryptoki.C_DestroyObject(open, key.handle);
          // That half alone: other keys of the token may have the same id.
          if (half !== undefined) destroyObjects(lane, open, half.handle);
        });
      });
      keys.drop(ref);
      return {};
    },
    forget: ({ ref, gone }) => {
      keys.forget(ref, gone);
      return {};
    },
  };
}

function halfIfThere(keys: KeyStore, key: Key): PublicHalf | undefined {
  try {
    return keys.publicHalf(key);
  } catch (error) {
    if (isLost(error)) throw error;
    return undefined;
  }
}
