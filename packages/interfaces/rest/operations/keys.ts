/** The catalogue of keys: create, import, adopt, read, list, change. */
import { CasemateError, isCasemateError } from "@casemate/foundation/errors";
import type { KeyView } from "@casemate/keyring/core";
import { Type } from "../schema-builder.ts";
import { bytesFrom } from "../base64.ts";
import { REST_LIMITS as LIMIT } from "../limits.ts";
import { operation, type Operation, type UseCase } from "../operation.ts";
import {
  FORM,
  activateAt,
  algorithm,
  bytes,
  deactivateAt,
  identifier,
  keyName,
  keyState,
  labels,
  pageOf,
  pageQuery,
  ref,
  rotateEveryDays,
  usage,
  useLimit,
  wrapScheme,
} from "../schemas.ts";
import { keyJson } from "../views.ts";

const closed = { additionalProperties: false } as const;
export const keyParams = Type.Object({ name: keyName }, closed);

const newKey = {
  name: keyName,
  algorithm,
  usages: Type.Optional(Type.Array(usage, { minItems: 1, maxItems: 6, uniqueItems: true })),
  device: Type.Optional(identifier("Device to hold the key; the server's default when absent.")),
  exportable: Type.Optional(
    Type.Boolean({ description: "Allow wrapped export, for ever decided now. Default false." }),
  ),
  labels: Type.Optional(labels),
  activateAt: Type.Optional(activateAt),
  deactivateAt: Type.Optional(deactivateAt),
  rotateEveryDays: Type.Optional(rotateEveryDays),
  useLimit: Type.Optional(useLimit),
};

/** After a first try that was cut off: the key that is there now is the one that was asked for, or it is still to be made. */
function existing(request: { readonly name: string }, create: UseCase, same: (found: KeyView) => boolean): UseCase {
  return async (keyring, caller) => {
    const found = await keyring.getKey(caller, request.name).catch((error: unknown) => {
      if (isCasemateError(error) && error.code === "NOT_FOUND") return undefined;
      throw error;
    });
    if (found === undefined) return create(keyring, caller);
    if (found.createdBy === caller.principal && same(found)) return keyJson(found);
    throw new CasemateError("ALREADY_EXISTS", `there is a key ${request.name} already`);
  };
}

const createKey = operation({
  id: "createKey",
  method: "POST",
  path: "/v1/keys",
  tag: "Keys",
  summary: "Create a key inside a device",
  action: "key.create",
  status: 201,
  creates: true,
  key: ({ body }) => body.name,
  body: Type.Object(newKey, closed),
  response: ref("Key"),
  handle:
    ({ body }) =>
    async (keyring, caller) =>
      keyJson(await keyring.createKey(caller, body)),
  recover: ({ body }) =>
    existing(
      body,
      async (keyring, caller) => keyJson(await keyring.createKey(caller, body)),
      ({ algorithm }) => algorithm === body.algorithm,
    ),
});

const importKey = operation({
  id: "importKey",
  method: "POST",
  path: "/v1/keys/import",
  tag: "Keys",
  summary: "Bring wrapped key material into a device",
  description: "The material is unwrapped inside the device that holds the wrapping key.",
  action: "key.import",
  status: 201,
  creates: true,
  key: ({ body }) => body.name,
  body: Type.Object(
    {
      ...newKey,
      wrappingKey: keyName,
      scheme: wrapScheme,
      wrapped: bytes(LIMIT.wrappedBytes, "The wrapped key: PKCS#8 DER or raw symmetric bytes inside."),
    },
    closed,
  ),
  response: ref("Key"),
  handle: ({ body }) => {
    const request = { ...body, wrapped: bytesFrom(body.wrapped, "wrapped", LIMIT.wrappedBytes) };
    return async (keyring, caller) => keyJson(await keyring.importKey(caller, request));
  },
  recover: ({ body }) => {
    const request = { ...body, wrapped: bytesFrom(body.wrapped, "wrapped", LIMIT.wrappedBytes) };
    return existing(
      body,
      async (keyring, caller) => keyJson(await keyring.importKey(caller, request)),
      ({ algorithm }) => algorithm === body.algorithm,
    );
  },
});

const adoptKey = operation({
  id: "adoptKey",
  method: "POST",
  path: "/v1/keys/adopt",
  tag: "Keys",
  summary: "Take a key that is already in a device into the catalogue",
  action: "key.adopt",
  status: 201,
  creates: true,
  key: ({ body }) => body.name,
  body: Type.Object(
    {
      name: keyName,
      device: identifier("Device that holds the key."),
      label: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: LIMIT.textLength,
          description: "Its label there; with id, both must match.",
        }),
      ),
      id: Type.Optional(
        Type.String({
          pattern: "^([0-9a-fA-F]{2}){1,128}$",
          maxLength: 256,
          [FORM]: "1 to 128 bytes in hexadecimal",
          description: "Its identifier there, hexadecimal; with label, both must match.",
        }),
      ),
      usages: Type.Optional(Type.Array(usage, { minItems: 1, maxItems: 6, uniqueItems: true })),
      labels: Type.Optional(labels),
    },
    closed,
  ),
  response: ref("Key"),
  handle: ({ body }) => {
    if (body.label === undefined && body.id === undefined) {
      throw new CasemateError("BAD_REQUEST", "name the key in the device by label, id or both", {
        hint: "GET /v1/devices/{id}/objects lists labels and ids.",
      });
    }
    return async (keyring, caller) => keyJson(await keyring.adoptKey(caller, body));
  },
  recover: ({ body }) =>
    existing(
      body,
      async (keyring, caller) => keyJson(await keyring.adoptKey(caller, body)),
      ({ device, origin }) => device === body.device && origin === "adopted",
    ),
});

const listKeys = operation({
  id: "listKeys",
  method: "GET",
  path: "/v1/keys",
  tag: "Keys",
  summary: "List keys, page by page",
  action: "key.list",
  query: Type.Object(
    {
      ...pageQuery,
      device: Type.Optional(identifier("Only keys of this device.")),
      state: Type.Optional(keyState),
      algorithm: Type.Optional(algorithm),
      prefix: Type.Optional(
        Type.String({
          pattern: "^[A-Za-z0-9._-]{1,128}$",
          maxLength: 128,
          [FORM]: "1 to 128 of A-Z a-z 0-9 . _ -",
          description: "Only names that start so.",
        }),
      ),
    },
    closed,
  ),
  response: pageOf("Key"),
  handle:
    ({ query }) =>
    async (keyring, caller) => {
      const page = await keyring.listKeys(caller, query);
      return { ...page, items: page.items.map(keyJson) };
    },
});

const getKey = operation({
  id: "getKey",
  method: "GET",
  path: "/v1/keys/{name}",
  tag: "Keys",
  summary: "Show a key with its versions",
  action: "key.read",
  params: keyParams,
  response: ref("Key"),
  handle:
    ({ params }) =>
    async (keyring, caller) =>
      keyJson(await keyring.getKey(caller, params.name)),
});

const nullable = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

const updateKey = operation({
  id: "updateKey",
  method: "PATCH",
  path: "/v1/keys/{name}",
  tag: "Keys",
  summary: "Change labels, dates, rotation and limits",
  description: "Absent fields stay as they are; null takes a value away.",
  action: "key.update",
  params: keyParams,
  body: Type.Object(
    {
      labels: Type.Optional(labels),
      rotateEveryDays: nullable(rotateEveryDays),
      useLimit: nullable(useLimit),
      activateAt: nullable(activateAt),
      deactivateAt: nullable(deactivateAt),
    },
    { ...closed, minProperties: 1 },
  ),
  response: ref("Key"),
  handle:
    ({ params, body }) =>
    async (keyring, caller) =>
      keyJson(await keyring.updateKey(caller, params.name, body)),
});

export const keyOperations: readonly Operation[] = [createKey, importKey, adoptKey, listKeys, getKey, updateKey];
