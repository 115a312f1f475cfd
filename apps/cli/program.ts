import { Command } from "commander";
import { describe } from "./choices.ts";
import { VERBS } from "./commands/index.ts";
import type { Session } from "./session.ts";

/** The program with the options that every verb takes, and no verbs yet. */
/** `--version` alone prints the program's; after a verb it is a key version, so it is no option of the program. */
export function programWithOptions(): Command {
  return (
    new Command("casemate")
      .description("Keys inside security hardware, used from outside.")
      .option("--data <dir>", "data directory (else $CASEMATE_DATA, else the XDG data directory)")
      .option("--url <url>", "server to use (else $CASEMATE_URL, else the socket in the data directory)")
      .option("--token-file <file>", "file with the API token (else $CASEMATE_TOKEN_FILE, else admin.token)")
      .option("--ca-file <file>", "PEM certificate to trust for an https server (else $CASEMATE_CA_FILE)")
      .option("--json", "answer in JSON")
      .addHelpText("after", "\nExit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no server answers.")
      .addHelpText("after", "\n`casemate --version` prints the version of this program.")
      .configureHelp({ showGlobalOptions: true, optionDescription: describe, argumentDescription: describe })
      // What is wrong is said as every other failure is.
      .configureOutput({ outputError: () => undefined })
      .exitOverride()
  );
}

/** The whole command tree with every verb loaded: for completion and for tests. */
export async function fullProgram(session: Session): Promise<Command> {
  const program = programWithOptions();
  for (const verb of VERBS) {
    const command = program.command(verb.name).description(verb.summary);
    (await verb.load()).define(command, session);
  }
  return program;
}
