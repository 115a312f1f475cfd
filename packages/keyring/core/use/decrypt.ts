import { asCasemateError, CasemateError } from "@casemate/foundation/errors";
import type { CipherScheme } from "@casemate/devices/contract";
import { ALGORITHMS } from "../algorithms.ts";
import type { KeyRecord } from "../catalogue/key-record.ts";
import { useWarnings } from "../catalogue/key-view.ts";
import type { Core } from "../core.ts";
import type { DecryptRequest, Keyring } from "../types.ts";
import { checkBatch, settle } from "./batch.ts";
import { openHeader } from "./ciphertext.ts";
import { schemeOf } from "./schemes.ts";
import { checkUse, facet, select, versionOf } from "./select.ts";

type Item = DecryptRequest["items"][number];
const NOTHING = new Uint8Array(0);

/** Items of one request may belong to different versions: each group goes to its device in one call. */
export function decrypt(core: Core): Keyring["decrypt"] {
  return (caller, name, request) =>
    core.guard.key(caller, "key.decrypt", name, async ({ record }, note) => {
      const { items } = request;
      checkUse(record, "decrypt");
      const bytes = checkBatch(
        items.map((item) => item.data),
        items.map((item) => item.context ?? NOTHING),
      );
      note.count = items.length;
      note.details = { bytes };
      const results = Array.from<Uint8Array | CasemateError>({ length: items.length });
      const groups = grouped(record, request, results);
      let scheme: CipherScheme | undefined;
      let newest = 0;
      for (const [version, group] of groups) {
        try {
          const done = await decryptGroup(core, record, version, request.scheme, group.items);
          scheme = done.scheme;
          newest = Math.max(newest, version);
          group.places.forEach((place, index) => {
            results[place] = done.results[index] ?? new CasemateError("DEVICE_FAILED", "the device gave no answer");
          });
        } catch (error) {
          if (groups.size === 1 && group.places.length === items.length) throw error;
          for (const place of group.places) results[place] = asCasemateError(error);
        }
      }
      note.details = { ...note.details, version: newest, ...(scheme === undefined ? {} : { scheme }) };
      return {
        version: newest,
        scheme: scheme ?? "",
        results: settle(note, results, request),
        warnings: newest === 0 ? [] : useWarnings(record, versionOf(record, newest)),
      };
    });
}

function foreign(record: KeyRecord, version: number): CasemateError {
  const newest = record.versions.at(-1)?.version ?? 0;
  return new CasemateError(
    "DECRYPT_FAILED",
    `the ciphertext does not belong to ${record.name} or was changed: it names version ${version}, and ${record.name} has ${newest}`,
    { hint: "Name the key that encrypted it." },
  );
}

interface Group {
  readonly places: number[];
  readonly items: Item[];
}

function grouped(
  record: KeyRecord,
  request: DecryptRequest,
  results: (Uint8Array | CasemateError)[],
): Map<number, Group> {
  const groups = new Map<number, Group>();
  if (request.raw === true) {
    if (request.version === undefined)
      throw new CasemateError("BAD_REQUEST", "a raw ciphertext does not say which key version it belongs to", {
        hint: "Name the version too (`version` in a request, --version N on the command line).",
      });
    groups.set(request.version, { places: request.items.map((_, index) => index), items: [...request.items] });
    return groups;
  }
  request.items.forEach((item, place) => {
    try {
      const { version, body } = openHeader(item.data);
      if (request.version !== undefined && request.version !== version)
        throw new CasemateError("BAD_REQUEST", `the ciphertext is of version ${version}, not ${request.version}`, {
          hint: "Leave the version out: the ciphertext names its own.",
        });
      if (!record.versions.some((known) => known.version === version)) throw foreign(record, version);
      let group = groups.get(version);
      if (group === undefined) groups.set(version, (group = { places: [], items: [] }));
      group.places.push(place);
      group.items.push({ ...item, data: body });
    } catch (error) {
      results[place] = asCasemateError(error);
    }
  });
  return groups;
}

async function decryptGroup(
  core: Core,
  record: KeyRecord,
  version: number,
  wanted: CipherScheme | undefined,
  items: readonly Item[],
) {
  const chosen = select(core, record, "decrypt", version);
  const scheme = schemeOf(chosen, "cipher", wanted, ALGORITHMS[record.algorithm].cipher);
  const results = await facet(chosen.device, chosen.device.cipher, "decrypt").decrypt(chosen.ref, scheme, items);
  return { scheme, results };
}
