import type { Command } from "commander";
import { toldOf, writeOutput } from "../files.ts";
import { given, whole } from "../parse.ts";
import type { Session } from "../session.ts";

interface RandomOptions {
  readonly device?: string;
  readonly out?: string;
}

export function define(command: Command, session: Session): void {
  command
    .argument("[bytes]", "how many, 1 to 65536", whole("random", 1, 65_536), 32)
    .option("--device <device>", "device to ask (default: the first)")
    .option("--out <file>", "raw bytes, written with mode 0600 (default: hexadecimal on standard output)")
    .action(async (length: number, options: RandomOptions) => {
      const client = await session.client();
      const answer = await client.random(given({ length, device: options.device }));
      const { bytes } = answer;
      if (options.out !== undefined) writeOutput(session, options.out, bytes, 0o600);
      session.out.answer(toldOf(answer, ["bytes"], options.out), () => {
        if (options.out === undefined) session.out.line(bytes.toHex());
      });
    });
}
