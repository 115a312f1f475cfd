import type { Command } from "commander";
import { readInput } from "../../files.ts";
import type { Session } from "../../session.ts";
import type { WrapScheme } from "@casemate/sdk";
import { wrapSchemeOption } from "../../schemes.ts";
import { describeNewKey, newKeyBody, printCreated } from "./create.ts";

type ImportOptions = Parameters<typeof newKeyBody>[1] & {
  readonly wrappingKey: string;
  readonly scheme: WrapScheme;
  readonly in?: string;
};

/** `key import` and `unwrap` are the same use case under two names. */
export function defineImport(command: Command, session: Session): void {
  describeNewKey(command)
    .requiredOption("--wrapping-key <key>", "key of the same device under which the material is wrapped")
    .addOption(wrapSchemeOption())
    .option("--in <file>", "wrapped key (default: standard input)")
    .action(async (name: string, options: ImportOptions) => {
      const wrapped = await readInput(options.in);
      const client = await session.client();
      const { wrappingKey, scheme } = options;
      const body = { ...newKeyBody(name, options), wrappingKey, scheme, wrapped };
      printCreated(session, await client.importKey(body), "imported");
    });
}

export function defineKeyImport(command: Command, session: Session): void {
  defineImport(command.command("import").description("bring wrapped key material into a device"), session);
}
