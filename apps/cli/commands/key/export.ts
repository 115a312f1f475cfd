import type { Command } from "commander";
import type { Session } from "../../session.ts";

export function defineKeyExport(command: Command, session: Session): void {
  command
    .command("export")
    .argument("<key>", "name of the key")
    .description("always refused: says why, and the lawful ways")
    .action(async (name: string) => {
      const client = await session.client();
      // The refusal is the server's, so that the attempt is in the audit log.
      await client.exportKey(name);
    });
}
