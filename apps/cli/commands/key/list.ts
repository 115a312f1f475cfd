import type { Command } from "commander";
import { KEY_ALGORITHMS } from "@casemate/devices/contract";
import { KEY_STATES } from "@casemate/keyring/core/names";
import { ChoiceOption } from "../../choices.ts";
import { whole } from "../../parse.ts";
import type { Session } from "../../session.ts";
import type { Key, KeyAlgorithm } from "@casemate/sdk";
import { printKey } from "./show.ts";

interface ListOptions {
  readonly device?: string;
  readonly state?: Key["state"];
  readonly algorithm?: KeyAlgorithm;
  readonly prefix?: string;
  readonly limit?: number;
}

const PAGE = 500;

export function defineKeyList(command: Command, session: Session): void {
  command
    .command("list")
    .description("all keys that you may see")
    .option("--device <device>", "only keys in this device")
    .addOption(new ChoiceOption("--state <state>", "only keys in this state", KEY_STATES))
    .addOption(
      new ChoiceOption("--algorithm <name>", "only keys of this algorithm", KEY_ALGORITHMS, { brief: "as for create" }),
    )
    .option("--prefix <text>", "only names that begin so")
    .option("--limit <count>", "at most so many (default: all)", whole("--limit", 1, 1_000_000))
    .action(async ({ limit, ...filter }: ListOptions) => {
      const client = await session.client();
      const keys: Key[] = [];
      for await (const key of client.keys({ ...filter, limit: Math.min(limit ?? PAGE, PAGE) })) {
        keys.push(key);
        if (keys.length % PAGE === 0) session.out.progress(`${keys.length} keys …`);
        if (keys.length === limit) break;
      }
      session.out.progress("");
      session.out.answer(keys, () => {
        session.out.table(
          keys,
          [
            { title: "NAME", cell: (key) => key.name },
            { title: "ALGORITHM", cell: (key) => key.algorithm },
            { title: "USE", cell: (key) => key.usages.join(",") },
            { title: "STATE", cell: (key) => key.state },
            { title: "VERSION", cell: (key) => String(key.primaryVersion) },
            { title: "DEVICE", cell: (key) => key.device },
            { title: "CREATED", cell: (key) => key.createdAt },
          ],
          "No keys yet. Make one with `casemate key create NAME --algorithm ec-p256 --use sign`.",
        );
      });
    });

  command
    .command("show")
    .argument("<key>", "name of the key")
    .description("everything about one key")
    .action(async (name: string) => {
      const client = await session.client();
      const key = await client.getKey(name);
      session.out.answer(key, () => printKey(session, key));
    });
}
