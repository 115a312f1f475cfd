/** New keys, and the end of keys. */
import { USAGES, type KeyAlgorithm, type Usage } from "@casemate/devices/contract";
import { equalBytes, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { CKA } from "@casemate/protocols/p11-rpc";
import { encodeKeyRef } from "../key-ref.ts";
import { isLost, isStale, saysNoneWasMade, sessionEnded } from "../status.ts";
import type { Handlers } from "../wire.ts";
import type { Handle } from "./addon.ts";
import { findObjects, readAttributes } from "./attributes.ts";
import { withKey } from "./batch.ts";
import { describe, standingAt, type Key, type KeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";
import type { PublicHalf } from "./public-half.ts";
import { spkiOf } from "./public-objects.ts";
import type { Undo } from "./session.ts";
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

export const usageNames = (usages: Readonly<Record<Usage, boolean>>): Usage[] =>
  USAGES.filter((usage) => usages[usage]);

/** Identity and properties of a key to be made. The id is random, so that no two keys of a token share it; who asks chose it, and can have it undone. */
export function newObject(spec: {
  readonly id: Uint8Array;
  readonly algorithm: KeyAlgorithm;
  readonly usages: Readonly<Record<Usage, boolean>>;
  readonly exportable: boolean;
  readonly label: string;
}): NewObject {
  const id = Buffer.from(spec.id);
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

/** Of a module that does not search by id, that many are looked at. */
const MOST_LOOKED_AT = 1000;

/** Takes away what has that id, which is random, so that nothing else has it; answers how many objects. @throws ModuleError */
export function takeBack({ cryptoki }: Lane, session: Handle, id: Uint8Array): number {
  // A module that does not search by id must not lose its other keys.
  const made = findObjects(cryptoki, session, { ID: Buffer.from(id) }, MOST_LOOKED_AT).filter((handle) => {
    const found = readAttributes(cryptoki, session, handle, [CKA.ID]).get(CKA.ID);
    return found !== undefined && equalBytes(found, id);
  });
  for (const handle of made) cryptoki.C_DestroyObject(session, handle);
  return made.length;
}

/** Undoes the making of a key of that id, unless the token said that it made none. */
export const undoing =
  (lane: Lane, id: Uint8Array): Undo =>
  (session, error) => {
    if (!saysNoneWasMade(error)) takeBack(lane, session, id);
  };

/** What `work` makes of fresh objects; they go again when it fails. @throws DEVICE_FAILED when the token does not know them. */
export function keptIf<T>(lane: Lane, session: Handle, made: readonly Handle[], work: () => T): T {
  try {
    return work();
  } catch (error) {
    destroyObjects(lane, session, ...made);
    if (!isStale(error) && !(isCasemateError(error) && error.code === "NOT_FOUND")) throw error;
    lane.session.check(); // a token that was taken out knows nothing either
    throw new CasemateError("DEVICE_FAILED", "the token does not hold the key that it said it made", {
      hint: "Its maker's log may say why.",
    });
  }
}

/** The reference of a fresh object, by what the token really stored. @throws NOT_FOUND when it cannot be found by it. */
export function referenceOf(
  lane: Lane,
  keys: KeyStore,
  session: Handle,
  handle: Handle,
  object: NewObject,
): Uint8Array {
  const { attributes } = describe(lane, session, handle);
  const ref = encodeKeyRef(lane.token, {
    algorithm: object.algorithm,
    objectClass: isPair(rowOf(object.algorithm)) ? "private" : "secret",
    id: attributes.get(CKA.ID) ?? new Uint8Array(),
    label: attributes.get(CKA.LABEL) ?? new Uint8Array(),
  });
  keys.resolve(ref);
  return ref;
}

export function makeHandlers(
  lane: Lane,
  keys: KeyStore,
): Pick<Handlers, "generate" | "takeBack" | "destroy" | "publicKey" | "forget"> {
  const { session } = lane;
  return {
    generate: (spec) => {
      checkSpec(lane, spec.algorithm, usageNames(spec.usages));
      const object = newObject(spec);
      return session.run(
        (open) => {
          if (!isPair(rowOf(spec.algorithm))) {
            const handle = generateSecret(lane, open, object);
            return keptIf(lane, open, [handle], () => ({
              ref: referenceOf(lane, keys, open, handle, object),
              publicKey: undefined,
            }));
          }
          const { privateKey, publicKey } = generatePair(lane, open, object);
          return keptIf(lane, open, [privateKey, publicKey], () => {
            const spki = spkiOf(lane, open, publicKey, spec.algorithm);
            if (spki === undefined)
              throw new CasemateError(
                "DEVICE_FAILED",
                "the token does not show the public half of the key that it made",
              );
            return { ref: referenceOf(lane, keys, open, privateKey, object), publicKey: spki };
          });
        },
        undoing(lane, object.id),
      );
    },
    takeBack: ({ id }) => ({ objects: session.run((open) => takeBack(lane, open, id)) }),
    publicKey: ({ ref }) => withKey(keys, ref, (key) => ({ bytes: keys.publicHalf(key, "always").spki })),
    destroy: ({ ref }) => {
      withKey(keys, ref, (key) => {
        const half = key.address.objectClass === "private" ? halfIfThere(keys, key) : undefined;
        destroyOnce(lane, key, half);
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

/** Keys of one id and label that are looked through. */
const MOST_NAMESAKES = 64;

/**
 * Destroys the object and its public half, once: whatever has its handle later is somebody else's, and others may have its id and label, too.
 * Whoever hears that the material is gone relies on it. @throws DEVICE_FAILED when it is still there.
 */
function destroyOnce(lane: Lane, { handle, address }: Key, half: PublicHalf | undefined): void {
  const { cryptoki, session } = lane;
  const namesakes = (open: Handle): Handle[] => findObjects(cryptoki, open, { ...standingAt(address) }, MOST_NAMESAKES);
  let before: number | undefined;
  let lost = false;
  let done = false;
  session.run((open) => {
    if (!done) {
      before ??= namesakes(open).length;
      try {
        cryptoki.C_DestroyObject(open, handle);
      } catch (error) {
        if (sessionEnded(error)) lost = true;
        // Done the first time, before the session ended: there is one less. Else the object has another handle by now.
        if (!lost || !isStale(error) || namesakes(open).length >= before) throw error;
      }
      done = true;
      // That half alone: other keys of the token may have the same id.
      if (half !== undefined) destroyObjects(lane, open, half.handle);
    }
    if (!namesakes(open).some((other) => other.equals(handle))) return;
    throw new CasemateError("DEVICE_FAILED", "the token said that it destroyed the key, and still has it", {
      hint: "Its maker's log may say why; its own tools may destroy it.",
    });
  });
}

function halfIfThere(keys: KeyStore, key: Key): PublicHalf | undefined {
  try {
    return keys.publicHalf(key);
  } catch (error) {
    if (isLost(error)) throw error;
    return undefined;
  }
}
