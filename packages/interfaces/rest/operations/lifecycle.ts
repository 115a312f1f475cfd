/** Moves through a key's life: rotation, the transitions, destruction and restoring. */
import { MAX_WAIT_DAYS, type Action, type Transition } from "@casemate/keyring/core";
import { Type } from "../schema-builder.ts";
import { REST_LIMITS as LIMIT } from "../limits.ts";
import { operation, type Operation } from "../operation.ts";
import { ref, version } from "../schemas.ts";
import { keyJson } from "../views.ts";
import { keyParams } from "./keys.ts";

const closed = { additionalProperties: false } as const;

const rotateKey = operation({
  id: "rotateKey",
  method: "POST",
  path: "/v1/keys/{name}/rotate",
  tag: "Lifecycle",
  summary: "Make a new version and use it from now on",
  action: "key.rotate",
  creates: true,
  key: ({ params }) => params.name,
  params: keyParams,
  body: Type.Object({}, closed),
  response: ref("Key"),
  handle:
    ({ params }) =>
    async (keyring, caller) =>
      keyJson(await keyring.rotateKey(caller, params.name)),
  recover:
    ({ params }, since) =>
    async (keyring, caller) => {
      // A version made since then is what was asked for, whoever made it.
      const key = await keyring.getKey(caller, params.name);
      const newest = Date.parse(key.versions.at(-1)?.createdAt ?? "");
      return keyJson(key.versions.length > 1 && newest >= since ? key : await keyring.rotateKey(caller, params.name));
    },
});

const MOVES: readonly { readonly move: Transition; readonly action: Action; readonly summary: string }[] = [
  { move: "activate", action: "key.activate", summary: "From pre-active to active" },
  { move: "suspend", action: "key.suspend", summary: "No use until resumed" },
  { move: "resume", action: "key.resume", summary: "From suspended back to active" },
  { move: "deactivate", action: "key.deactivate", summary: "From now on the key only verifies and decrypts" },
  { move: "compromise", action: "key.compromise", summary: "Mark the key as known to others, for ever" },
];

const moves = MOVES.map(({ move, action, summary }) =>
  operation({
    id: `${move}Key`,
    method: "POST",
    path: `/v1/keys/{name}/${move}`,
    tag: "Lifecycle",
    summary,
    action,
    params: keyParams,
    body: Type.Object(
      {
        version: Type.Optional(version),
        reason: Type.Optional(
          Type.String({ minLength: 1, maxLength: LIMIT.textLength, description: "Kept in the audit log." }),
        ),
      },
      closed,
    ),
    response: ref("Key"),
    handle:
      ({ params, body }) =>
      async (keyring, caller) =>
        keyJson(await keyring.transition(caller, params.name, move, body)),
  }),
);

const destroyKey = operation({
  id: "destroyKey",
  method: "POST",
  path: "/v1/keys/{name}/destroy",
  tag: "Lifecycle",
  summary: "Destroy a key after a waiting period, or at once",
  action: "key.destroy",
  params: keyParams,
  body: Type.Object(
    {
      now: Type.Optional(Type.Boolean({ description: "At once, without a way back; needs a role that may." })),
      waitDays: Type.Optional(
        Type.Integer({ minimum: 1, maximum: MAX_WAIT_DAYS, description: "Waiting period, default 7 days." }),
      ),
      version: Type.Optional(version),
    },
    closed,
  ),
  response: ref("Key"),
  handle:
    ({ params, body }) =>
    async (keyring, caller) =>
      keyJson(await keyring.destroyKey(caller, params.name, body)),
});

const restoreKey = operation({
  id: "restoreKey",
  method: "POST",
  path: "/v1/keys/{name}/restore",
  tag: "Lifecycle",
  summary: "Call off a destruction that waits",
  action: "key.restore",
  params: keyParams,
  body: Type.Object({ version: Type.Optional(version) }, closed),
  response: ref("Key"),
  handle:
    ({ params, body }) =>
    async (keyring, caller) =>
      keyJson(await keyring.restoreKey(caller, params.name, body)),
});

export const lifecycleOperations: readonly Operation[] = [rotateKey, ...moves, destroyKey, restoreKey];
