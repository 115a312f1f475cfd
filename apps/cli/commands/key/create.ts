import type { Command } from "commander";
import { KEY_ALGORITHMS, USAGES } from "@casemate/devices/contract";
import { ChoiceOption } from "../../choices.ts";
import { given, instant, label, whole } from "../../parse.ts";
import type { Session } from "../../session.ts";
import type { CreateKeyBody, Key, KeyAlgorithm, Usage } from "@casemate/sdk";

interface CreateOptions {
  readonly algorithm: KeyAlgorithm;
  readonly use?: readonly Usage[];
  readonly device?: string;
  readonly exportable?: boolean;
  readonly label?: Readonly<Record<string, string>>;
  readonly activateAt?: string;
  readonly deactivateAt?: string;
  readonly rotateEvery?: number;
  readonly useLimit?: number;
}

/** Options that creation and import share. */
export function describeNewKey(command: Command): Command {
  return command
    .argument("<name>", "what to call the key")
    .addOption(new ChoiceOption("--algorithm <name>", "what kind of key", KEY_ALGORITHMS).makeOptionMandatory())
    .addOption(
      new ChoiceOption("--use <uses>", "what it may do, for ever; comma-separated", USAGES, { many: true }).default(
        undefined,
        "what the algorithm is for",
      ),
    )
    .option("--device <device>", "device to make it in (default: the first that can)")
    .option("--exportable", "allow wrapped export, for ever; plaintext export never is")
    .option("--label <name=value>", "label; repeatable", label)
    .option("--activate-at <time>", "pre-active until then (ISO 8601 or +90d)", instant("--activate-at"))
    .option("--deactivate-at <time>", "deactivated from then on (ISO 8601 or +90d)", instant("--deactivate-at"))
    .option("--rotate-every <days>", "rotate by itself, as often", whole("--rotate-every", 1, 36_500))
    .option("--use-limit <count>", "operations allowed per version", whole("--use-limit", 1, Number.MAX_SAFE_INTEGER));
}

/** The options as the REST interface names them. */
export function newKeyBody(name: string, options: CreateOptions): CreateKeyBody {
  return given({
    name,
    algorithm: options.algorithm,
    usages: options.use,
    device: options.device,
    exportable: options.exportable,
    labels: options.label,
    activateAt: options.activateAt,
    deactivateAt: options.deactivateAt,
    rotateEveryDays: options.rotateEvery,
    useLimit: options.useLimit,
  });
}

export function printCreated(session: Session, key: Key, verb: string): void {
  session.out.answer(key, () => {
    const { name, algorithm, usages, device, state } = key;
    session.out.line(`Key ${name} ${verb}: ${algorithm} for ${usages.join(", ")} in ${device}, ${state}.`);
    session.out.warnings(key.warnings);
  });
}

const EXAMPLE = "\nFor example: casemate key create release --algorithm ec-p256 --use sign --label team=web";

export function defineKeyCreate(command: Command, session: Session): void {
  describeNewKey(command.command("create").description("make a key inside a device"))
    .addHelpText("after", EXAMPLE)
    .action(async (name: string, options: CreateOptions) => {
      const client = await session.client();
      session.out.progress(`making ${name} …`);
      const key = await client.createKey(newKeyBody(name, options));
      session.out.progress("");
      printCreated(session, key, "created");
    });
}
