/** Who may do what: API tokens and policies. */
import { ACTIONS, MAX_TOKEN_DAYS } from "@casemate/keyring/core";
import { Type } from "../schema-builder.ts";
import { REST_LIMITS as LIMIT } from "../limits.ts";
import { operation, type Operation } from "../operation.ts";
import { FORM, choice, identifier, keyName, pageOf, pageQuery, principal, ref, role, whenIn } from "../schemas.ts";

const closed = { additionalProperties: false } as const;
/** Checks of one policy test. */
const MAX_CHECKS = 100;

const createToken = operation({
  id: "createToken",
  method: "POST",
  path: "/v1/tokens",
  tag: "Access",
  summary: "Make an API token; its secret is shown this once",
  action: "token.create",
  status: 201,
  creates: true,
  body: Type.Object(
    {
      principal: principal("Who will present it."),
      roles: Type.Array(role, { minItems: 1, maxItems: 4, uniqueItems: true }),
      expiresInSeconds: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: MAX_TOKEN_DAYS * 86_400,
          description: "Lifetime; without end when absent.",
        }),
      ),
      note: Type.Optional(Type.String({ minLength: 1, maxLength: LIMIT.textLength, description: "What it is for." })),
    },
    closed,
  ),
  response: Type.Object({
    token: Type.String({ description: "The bearer token. It is stored only as a hash." }),
    view: ref("Token"),
  }),
  handle:
    ({ body }) =>
    (keyring, caller) =>
      keyring.createToken(caller, body),
});

const listTokens = operation({
  id: "listTokens",
  method: "GET",
  path: "/v1/tokens",
  tag: "Access",
  summary: "List tokens, without their secrets",
  action: "token.list",
  query: Type.Object(pageQuery, closed),
  response: pageOf("Token"),
  handle:
    ({ query }) =>
    (keyring, caller) =>
      keyring.listTokens(caller, query),
});

const revokeToken = operation({
  id: "revokeToken",
  method: "DELETE",
  path: "/v1/tokens/{id}",
  tag: "Access",
  summary: "Revoke a token, at once",
  action: "token.revoke",
  params: Type.Object({ id: identifier("Public part of the token.") }, closed),
  response: ref("Token"),
  handle:
    ({ params }) =>
    (keyring, caller) =>
      keyring.revokeToken(caller, params.id),
});

const policyText = (description: string) => Type.String({ maxLength: LIMIT.policyLength, description });
const policyParams = Type.Object({ id: identifier("Name of the policy.") }, closed);
const check = {
  principal: principal("Who asks."),
  roles: Type.Optional(Type.Array(role, { maxItems: 4, uniqueItems: true })),
  action: choice(ACTIONS, "What is asked for."),
  key: Type.Optional(keyName),
  source: Type.Optional(
    Type.String({
      pattern: "^[A-Za-z0-9][A-Za-z0-9./:%_-]{0,127}$",
      maxLength: 128,
      [FORM]: "a source as in the audit log, such as rest/unix",
      description: "Where it comes from, as in the audit log: `rest/unix`, `rest/tls/192.0.2.7`, `pkcs11`.",
    }),
  ),
  at: Type.Optional(whenIn("When; now when absent.")),
};

const listPolicies = operation({
  id: "listPolicies",
  method: "GET",
  path: "/v1/policies",
  tag: "Access",
  summary: "All policies, the built-in ones included",
  action: "policy.list",
  response: Type.Object({ items: Type.Array(ref("Policy")) }),
  handle: () => async (keyring, caller) => ({ items: await keyring.listPolicies(caller) }),
});

const setPolicy = operation({
  id: "setPolicy",
  method: "PUT",
  path: "/v1/policies/{id}",
  tag: "Access",
  summary: "Keep a policy; an empty text removes it",
  description: "The text is checked against the schema before it is kept.",
  action: "policy.set",
  params: policyParams,
  body: Type.Object({ text: policyText("Cedar text.") }, closed),
  response: Type.Object({ id: Type.String(), removed: Type.Boolean() }),
  handle:
    ({ params, body }) =>
    async (keyring, caller) => {
      await keyring.setPolicy(caller, params.id, body.text);
      return { id: params.id, removed: body.text.trim() === "" };
    },
});

const testPolicy = operation({
  id: "testPolicy",
  method: "POST",
  path: "/v1/policies/test",
  tag: "Access",
  summary: "Check a policy's text, and what it would decide, without keeping it",
  action: "policy.test",
  body: Type.Object(
    {
      text: policyText("Cedar text."),
      checks: Type.Optional(Type.Array(Type.Object(check, closed), { maxItems: MAX_CHECKS })),
    },
    closed,
  ),
  response: Type.Object({ decisions: Type.Array(ref("Decision")) }),
  handle:
    ({ body }) =>
    async (keyring, caller) => ({ decisions: await keyring.testPolicy(caller, body.text, body.checks ?? []) }),
});

const explain = operation({
  id: "explainPolicy",
  method: "POST",
  path: "/v1/policies/explain",
  tag: "Access",
  summary: "What is decided now, and which policies decide it",
  action: "policy.explain",
  body: Type.Object(check, closed),
  response: ref("Decision"),
  handle:
    ({ body }) =>
    (keyring, caller) =>
      keyring.explain(caller, body),
});

export const accessOperations: readonly Operation[] = [
  createToken,
  listTokens,
  revokeToken,
  listPolicies,
  setPolicy,
  testPolicy,
  explain,
];
