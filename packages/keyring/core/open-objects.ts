import { fromBase64, toBase64 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import { commit, type Core } from "./core.ts";
import type { NewObject, ObjectRecord, ObjectStore } from "./objects.ts";
import { afterOf, limitOf, pageOf } from "./paging.ts";
import type { Row } from "./store.ts";
import { checkWellFormed } from "./text.ts";

const MAX_ATTRIBUTES = 64 * 1024;
const MAX_TEXT = 256;
const MAX_CKA_ID = 512;

export function openObjects(core: Core): ObjectStore {
  const { guard, locks, store } = core;
  const rowOf = async (id: string): Promise<Row> => {
    const row = await store.get("object", "id", id);
    if (row === undefined) throw new CasemateError("NOT_FOUND", "no such object");
    return row;
  };
  return {
    create: (caller, object) =>
      guard.keyring(caller, "object.write", "", async (note) => {
        check(object);
        const record: ObjectRecord = { ...object, id: core.random.bytes(12).toHex(), revision: 1 };
        note.resource = `object/${record.id}`;
        const generation = await commit(core, [{ kind: "put", collection: "object", row: toRow(record) }]);
        note.details = { step: "create", class: object.class, bytes: object.attributes.length, generation };
        core.changes.tell({ what: "object", name: record.id });
        return record;
      }),
    get: (caller, id) =>
      guard.keyring(caller, "object.read", `object/${id.slice(0, 64)}`, async () => fromRow(await rowOf(id))),
    update: (caller, id, change) =>
      locks.run(`object/${id}`, () =>
        guard.keyring(caller, "object.write", `object/${id.slice(0, 64)}`, async (note) => {
          const before = fromRow(await rowOf(id));
          if (change.revision !== undefined && change.revision !== before.revision)
            throw new CasemateError("CONFLICT", "the object was changed meanwhile", { hint: "Read it again." });
          const record: ObjectRecord = { ...before, ...change, id, revision: before.revision + 1 };
          check(record);
          const generation = await commit(core, [{ kind: "put", collection: "object", row: toRow(record) }]);
          note.details = { step: "update", class: record.class, bytes: record.attributes.length, generation };
          core.changes.tell({ what: "object", name: id });
          return record;
        }),
      ),
    remove: (caller, id) =>
      locks.run(`object/${id}`, () =>
        guard.keyring(caller, "object.write", `object/${id.slice(0, 64)}`, async (note) => {
          const { revision } = await rowOf(id);
          const generation = await commit(core, [{ kind: "delete", collection: "object", id, revision }]);
          note.details = { step: "remove", generation };
          core.changes.tell({ what: "object", name: id });
        }),
      ),
    find: (caller, query) =>
      guard.keyring(caller, "object.read", "", async (note) => {
        const limit = limitOf(query);
        const rows = await store.find("object", {
          equals: {
            ...(query.tokenLabel === undefined ? {} : { token_label: query.tokenLabel }),
            ...(query.class === undefined ? {} : { class: query.class }),
            ...(query.label === undefined ? {} : { label: query.label }),
            ...(query.ckaId === undefined ? {} : { cka_id: query.ckaId }),
          },
          order: "id",
          ...afterOf(query),
          limit: limit + 1,
        });
        note.details = { found: Math.min(rows.length, limit) };
        return pageOf(rows, limit, (row) => row.id, fromRow);
      }),
  };
}

function check(object: NewObject): void {
  checkWellFormed("tokenLabel", object.tokenLabel);
  checkWellFormed("label", object.label);
  if (object.tokenLabel.length > MAX_TEXT || object.label.length > MAX_TEXT)
    throw new CasemateError("TOO_LARGE", `a label has at most ${MAX_TEXT} characters`);
  if (object.ckaId.length > MAX_CKA_ID || !/^([0-9a-f]{2})*$/.test(object.ckaId))
    throw new CasemateError("BAD_REQUEST", `ckaId is at most ${MAX_CKA_ID / 2} bytes in lower-case hexadecimal`);
  if (!Number.isSafeInteger(object.class) || object.class < 0)
    throw new CasemateError("BAD_REQUEST", "class is a CKO number");
  if (object.attributes.length > MAX_ATTRIBUTES)
    throw new CasemateError("TOO_LARGE", `attributes have at most ${MAX_ATTRIBUTES} bytes`);
}

function toRow(record: ObjectRecord): Row {
  const { id, revision, attributes, ...rest } = record;
  return {
    id,
    revision,
    body: JSON.stringify({ ...rest, attributes: toBase64(attributes) }),
    index: { token_label: rest.tokenLabel, class: rest.class, label: rest.label, cka_id: rest.ckaId },
  };
}

function fromRow(row: Row): ObjectRecord {
  const body = JSON.parse(row.body) as Omit<ObjectRecord, "id" | "revision" | "attributes"> & { attributes: string };
  return { ...body, id: row.id, revision: row.revision, attributes: fromBase64(body.attributes) };
}
