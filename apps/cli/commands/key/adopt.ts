import type { Command } from "commander";
import { usage } from "../../failure.ts";
import { USAGES } from "@casemate/devices/contract";
import { ChoiceOption } from "../../choices.ts";
import { given, label } from "../../parse.ts";
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
    .command("adopt")
    .argument("<name>", "what to call the key in Casemate")
    .description("take over a key that is already in a device")
    .requiredOption("--device <device>", "the device that holds it")
    .option(
      "--object-label <text>",
      "its label there (`casemate device objects` lists them); with --object-id, both must match",
    )
    .option("--object-id <hex>", "its id there, hexadecimal; with --object-label, both must match")
    .addOption(
      new ChoiceOption("--use <uses>", "what it may do, for ever; comma-separated", USAGES, { many: true }).default(
        undefined,
        "what the device says, without wrap where that does not go with the rest",
      ),
    )
    .option("--label <name=value>", "label in Casemate; repeatable", label)
    .action(async (name: string, options: AdoptOptions) => {
      const { device, objectLabel, objectId, use: usages, label: labels } = options;
      if (objectLabel === undefined && objectId === undefined) {
        throw usage("name the key in the device by --object-label, --object-id or both");
      }
      const client = await session.client();
      const body = given({ name, device, label: objectLabel, id: objectId, usages, labels });
      printCreated(session, await client.adoptKey(body), "adopted");
    });
}
