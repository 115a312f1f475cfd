import { closeSync, existsSync, openSync, rmSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { CasemateError } from "@casemate/foundation/errors";
import { MAX_TOKEN_DAYS, ROLES } from "@casemate/keyring/core/names";
import { ChoiceOption } from "../choices.ts";
import { toFile } from "../files.ts";
import { given, seconds } from "../parse.ts";
import type { Session } from "../session.ts";
import type { Token } from "@casemate/sdk";

interface CreateOptions {
  readonly role: Token["roles"];
  readonly expires?: number;
  readonly note?: string;
  readonly out?: string;
}

function stateOf(token: Token): string {
  if (token.revokedAt !== undefined) return "revoked";
  return token.expiresAt !== undefined && Date.parse(token.expiresAt) <= Date.now() ? "expired" : "valid";
}

/** The file is there before the token is: a token that cannot be kept is never made. */
async function intoNewFile<T extends { readonly token: string }>(file: string, make: () => Promise<T>): Promise<T> {
  if (existsSync(file))
    throw new CasemateError("ALREADY_EXISTS", `${file} exists already, and a token replaces no file`, {
      hint: "Name another file, or remove this one.",
    });
  const descriptor = openSync(file, "wx", 0o600);
  try {
    const made = await make();
    writeFileSync(descriptor, `${made.token}\n`);
    return made;
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

export function define(command: Command, session: Session): void {
  command
    .command("create")
    .argument("<principal>", "who it is for")
    .description("make a token for a person or a service; it is shown this once")
    .addOption(
      new ChoiceOption("--role <names>", "what it may do; comma-separated", ROLES, {
        many: true,
      }).makeOptionMandatory(),
    )
    .option("--expires <duration>", "90d, 12h, … (default: never)", seconds("--expires", MAX_TOKEN_DAYS))
    .option("--note <text>", "what it is for")
    .option("--out <file>", "write the token to a file with mode 0600 instead of showing it")
    .action(async (principal: string, options: CreateOptions) => {
      const client = await session.client();
      const { role: roles, expires: expiresInSeconds, note, out } = options;
      const request = given({ principal, roles, expiresInSeconds, note });
      const created = await (toFile(out)
        ? intoNewFile(out, () => client.createToken(request))
        : client.createToken(request));
      session.out.answer(toFile(out) ? { view: created.view, out } : created, () => {
        if (!toFile(out)) session.out.line(created.token);
        const where = toFile(out) ? `It is in ${out}.` : "It is not shown again.";
        session.out.remark(`Token ${created.view.id} for ${principal} (${roles.join(", ")}). ${where}`);
      });
    });

  command
    .command("list")
    .description("tokens that are valid, without their secrets")
    .option("--all", "expired and revoked ones too")
    .action(async (options: { readonly all?: boolean }) => {
      const client = await session.client();
      const tokens: Token[] = [];
      for await (const token of client.tokens()) {
        if (options.all === true || stateOf(token) === "valid") tokens.push(token);
      }
      session.out.answer(tokens, () =>
        session.out.table(
          tokens,
          [
            { title: "ID", cell: (row) => row.id },
            { title: "PRINCIPAL", cell: (row) => row.principal },
            { title: "ROLES", cell: (row) => row.roles.join(",") },
            { title: "STATE", cell: stateOf },
            { title: "EXPIRES", cell: (row) => row.expiresAt ?? "never" },
            { title: "LAST USED", cell: (row) => row.lastUsedAt ?? "-" },
            { title: "NOTE", cell: (row) => row.note ?? "" },
          ],
          "No tokens.",
        ),
      );
    });

  command
    .command("revoke")
    .argument("<token>", "id of the token; `casemate token list` has it")
    .description("end a token for ever")
    .action(async (id: string) => {
      const client = await session.client();
      const token = await client.revokeToken(id);
      session.out.answer(token, () => session.out.line(`Token ${id} is revoked.`));
    });
}
