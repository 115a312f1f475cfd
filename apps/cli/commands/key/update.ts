import type { Command } from "commander";
import { usage } from "../../failure.ts";
import { given, instant, label, whole } from "../../parse.ts";
import type { Session } from "../../session.ts";
import { printKey } from "./show.ts";

interface UpdateOptions {
  readonly label?: Readonly<Record<string, string>>;
  readonly clearLabels?: boolean;
  readonly rotateEvery?: number | false;
  readonly useLimit?: number | false;
  readonly activateAt?: string | false;
  readonly deactivateAt?: string | false;
}

/** Commander answers `false` to `--no-x`: the value is to be taken away. */
function orNull<T>(value: T | false | undefined): T | null | undefined {
  return value === false ? null : value;
}

/** Options of the form `--x VALUE` beside `--no-x` default to true in commander; that means nothing was said. */
function said<T>(value: T | boolean | undefined): T | false | undefined {
  return value === true ? undefined : (value as T | false | undefined);
}

export function defineKeyUpdate(command: Command, session: Session): void {
  command
    .command("update")
    .argument("<key>", "name of the key")
    .description("change labels, dates, rotation and limits")
    .option("--label <name=value>", "label; repeatable, and all together replace the present ones", label)
    .option("--clear-labels", "take all labels away")
    .option("--rotate-every <days>", "rotate by itself, as often", whole("--rotate-every", 1, 36_500))
    .option("--no-rotate-every", "no longer rotate by itself")
    .option("--use-limit <count>", "operations allowed per version", whole("--use-limit", 1, Number.MAX_SAFE_INTEGER))
    .option("--no-use-limit", "no limit but the algorithm's own")
    .option("--activate-at <time>", "pre-active until then (ISO 8601 or +90d)", instant("--activate-at"))
    .option("--no-activate-at", "no activation date")
    .option("--deactivate-at <time>", "deactivated from then on (ISO 8601 or +90d)", instant("--deactivate-at"))
    .option("--no-deactivate-at", "no deactivation date")
    .action(async (name: string, options: UpdateOptions) => {
      const change = given({
        labels: options.clearLabels === true ? {} : options.label,
        rotateEveryDays: orNull(said(options.rotateEvery)),
        useLimit: orNull(said(options.useLimit)),
        activateAt: orNull(said(options.activateAt)),
        deactivateAt: orNull(said(options.deactivateAt)),
      });
      if (Object.keys(change).length === 0)
        throw usage("nothing to change was given", "See `casemate key update --help`.");
      const client = await session.client();
      const key = await client.updateKey(name, change);
      session.out.answer(key, () => printKey(session, key));
    });
}
