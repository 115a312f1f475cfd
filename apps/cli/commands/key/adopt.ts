import type { Command } from "commander";
import { usage } from "../../failure.ts";
import { given, label, words } from "../../parse.ts";
import type { Session } from "../../session.ts";
import type { Usage } from "@casemate/sdk";
import { printCreated } from "./create.ts";

interface AdoptOptions {
  readonly device: string;
  readonly objectLabel?: string;
  readonly objectId?: string;
  readonly use?: readonly Usage[];
  readonly label?: Readonly<Record<string, string>>;
}

export function defineKeyAdopt(command: Command, session: Session): void {
  command
    .command("adopt <name>")
    .description("take over a key that is already in a device")
    .requiredOption("--device <id>", "the device that holds it")
    .option("--object-label <text>", "its label there (`casemate device objects` lists them)")
    .option("--object-id <hex>", "its id there, hexadecimal")
    .option(
      "--use <uses>",
      "sign, encrypt, …; comma-separated (default: what the device says, without wrap where that does not go with the rest)",
      words,
    )
    .option("--label <name=value>", "label in Casemate, repeatable", label)
    .action(async (name: string, options: AdoptOptions) => {
      const { device, objectLabel, objectId, use: usages, label: labels } = options;
      if ((objectLabel === undefined) === (objectId === undefined)) {
        throw usage("name the key in the device by either --object-label or --object-id");
      }
      const client = await session.client();
      const body = given({ name, device, label: objectLabel, id: objectId, usages, labels });
      printCreated(session, await client.adoptKey(body), "adopted");
    });
}
