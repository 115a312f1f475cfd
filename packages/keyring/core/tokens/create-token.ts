import { CasemateError } from "@casemate/foundation/errors";
import { commit, type Core } from "../core.ts";
import type { Note } from "../guard.ts";
import { checkWellFormed } from "../text.ts";
import { MAX_TOKEN_DAYS, ROLES } from "../names.ts";
import type { Keyring, TokenView } from "../types.ts";
import { tokenToRow, tokenView, type TokenRecord } from "./token-record.ts";
import { newToken } from "./token-text.ts";

const PRINCIPAL = /^[A-Za-z0-9][A-Za-z0-9._@:/+-]{0,127}$/;
const MAX_NOTE = 256;
/** Ten years. */
const MAX_SECONDS = MAX_TOKEN_DAYS * 86_400;

/** The token's text is in the answer and nowhere else. */
export function createToken(core: Core): Keyring["createToken"] {
  return (caller, request) =>
    core.guard.keyring(caller, "token.create", "", async (note) => {
      check(request);
      const now = core.clock.now();
      note.details = { principal: request.principal, roles: request.roles.join(",") };
      return addToken(
        core,
        {
          principal: request.principal,
          kind: "user",
          roles: [...new Set(request.roles)],
          createdAt: now,
          createdBy: caller.principal,
          ...(request.expiresInSeconds === undefined ? {} : { expiresAt: now + request.expiresInSeconds * 1000 }),
          ...(request.note === undefined ? {} : { note: request.note }),
        },
        note,
      );
    });
}

async function addToken(
  core: Core,
  fields: Omit<TokenRecord, "id" | "revision" | "hash">,
  note: Note,
): Promise<{ readonly token: string; readonly view: TokenView }> {
  const { token, record } = draftToken(core, fields);
  await keepToken(core, record, note);
  return { token, view: tokenView(record) };
}

export function draftToken(
  core: Core,
  fields: Omit<TokenRecord, "id" | "revision" | "hash">,
): { readonly token: string; readonly record: TokenRecord } {
  const { id, hash, text } = newToken(core.random);
  return { token: text, record: { ...fields, id, revision: 1, hash } };
}

export async function keepToken(
  core: Core,
  record: TokenRecord,
  note: Note,
  replaced: readonly TokenRecord[] = [],
): Promise<void> {
  const generation = await commit(core, [
    { kind: "put", collection: "token", row: tokenToRow(record) },
    ...replaced.map((old) => ({ kind: "put", collection: "token", row: tokenToRow(old) }) as const),
  ]);
  for (const old of replaced) core.tokens.replace(old);
  note.resource = `token/${record.id}`;
  note.details = { ...note.details, generation };
}

function check(request: Parameters<Keyring["createToken"]>[1]): void {
  if (!PRINCIPAL.test(request.principal))
    throw new CasemateError(
      "BAD_REQUEST",
      "a principal is 1 to 128 of a-z A-Z 0-9 . _ @ : / + -, starting with a letter or digit",
    );
  if (request.roles.length === 0 || !request.roles.every((role) => ROLES.includes(role)))
    throw new CasemateError("BAD_REQUEST", `roles must be one or more of ${ROLES.join(", ")}`);
  const seconds = request.expiresInSeconds;
  if (seconds !== undefined && (!Number.isSafeInteger(seconds) || seconds < 1 || seconds > MAX_SECONDS))
    throw new CasemateError("BAD_REQUEST", `expiresInSeconds must be a whole number from 1 to ${MAX_SECONDS}`);
  if (request.note !== undefined && request.note.length > MAX_NOTE)
    throw new CasemateError("BAD_REQUEST", `a note has at most ${MAX_NOTE} characters`);
  checkWellFormed("a note", request.note);
}
