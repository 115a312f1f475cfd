import { withoutClash, type Device, type DeviceObject, type KeyAlgorithm } from "@casemate/devices/contract";
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import { ALGORITHMS } from "../algorithms.ts";
import { deviceOf, type Core } from "../core.ts";
import type { AdoptKey, CreateKey, Keyring } from "../types.ts";
import { heldObjects } from "../devices/held-objects.ts";
import { facet } from "../use/select.ts";
import { addKey } from "./add.ts";
import { refDigest } from "./key-record.ts";

/** The device is asked first what the key is; asking is part of the use case, so its refusals are recorded too. */
export function adoptKey(core: Core): Keyring["adoptKey"] {
  return async (caller, request) => {
    const found = await core.guard.keyring(caller, "device.objects", `device/${request.device.slice(0, 128)}`, () =>
      findObject(core, request),
    );
    const wanted: CreateKey = {
      name: request.name,
      algorithm: found.algorithm,
      usages: request.usages ?? withoutClash(found.algorithm, found.object.usages),
      device: request.device,
      ...(request.labels === undefined ? {} : { labels: request.labels }),
    };
    const add = () =>
      addKey(core, caller, "key.adopt", wanted, "adopted", async (device, _draft, note) => {
        const { object } = found;
        note.details = { ...note.details, label: object.label.slice(0, 128), id: object.id.slice(0, 128) };
        const taken = (await heldObjects(core, request.device)).get(refDigest(object.ref));
        if (taken !== undefined)
          throw new CasemateError(
            "ALREADY_EXISTS",
            `that key is in the catalogue as ${taken.name}, version ${taken.version}`,
            { hint: `Use it by that name: casemate key show ${taken.name}.` },
          );
        const publicKey = await publicKeyOf(device, object.ref, found.algorithm);
        return { ref: object.ref, ...(publicKey === undefined ? {} : { publicKey }) };
      });
    // Two that adopt one object under two names at once would not see each other.
    return core.locks.run(`adopt/${request.device}`, add);
  };
}

/** Asked for, since lists may leave out what it takes a signature to know. A key whose public half is not known for sure has none here. */
async function publicKeyOf(device: Device, ref: Uint8Array, algorithm: KeyAlgorithm): Promise<Uint8Array | undefined> {
  if (!ALGORITHMS[algorithm].asymmetric) return undefined;
  try {
    return await device.keys.publicKey(ref);
  } catch (error) {
    if (isCasemateError(error) && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

async function findObject(core: Core, request: AdoptKey) {
  const { label, id } = request;
  if (label === undefined && id === undefined)
    throw new CasemateError("BAD_REQUEST", "name the key in the device by its label, its id, or both");
  const device = deviceOf(core, request.device);
  const objects = await facet(device, device.objects, "list the keys it holds").list();
  const matches = objects.filter(
    (object) => (label === undefined || object.label === label) && (id === undefined || object.id === id.toLowerCase()),
  );
  const [object] = matches;
  if (object === undefined)
    throw new CasemateError("NOT_FOUND", `device ${request.device} holds no such key`, {
      hint: "List what it holds: casemate device objects.",
    });
  if (matches.length > 1)
    throw new CasemateError("BAD_REQUEST", `${matches.length} keys of ${request.device} match`, {
      hint:
        label === undefined || id === undefined
          ? "Name the key by its label and its id, both."
          : "Give them different ids or labels with the device's own tools.",
    });
  return { object, algorithm: algorithmOf(object) };
}

function algorithmOf(object: DeviceObject) {
  if (object.algorithm === undefined)
    throw new CasemateError("NOT_SUPPORTED", "the key in the device is of a kind that Casemate does not know");
  return object.algorithm;
}
