import { CommanderError } from "commander";
import { EXIT, exitCode, shown, usage } from "./failure.ts";
import { Output } from "./output.ts";
import { Session, type GlobalOptions } from "./session.ts";
import { VERBS, type Verb } from "./commands/index.ts";
import { programWithOptions } from "./program.ts";

/** Global options with a value, so that finding the verb can step over the value. */
const WITH_VALUE = new Set(["--data", "--url", "--token-file", "--ca-file"]);

/** The first word that is neither an option nor its value. */
function verbOf(argv: readonly string[]): Verb | undefined {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (WITH_VALUE.has(word)) i++;
    else if (!word.startsWith("-")) return VERBS.find((verb) => verb.name === word);
  }
  return undefined;
}

/** Commander says `help` wrongly used and unknown words with its own codes; all of them are exit code 2. */
function ofCommander(error: CommanderError): number {
  return error.exitCode === 0 ? EXIT.done : EXIT.usage;
}

/** Commander's own words, which name the program that is wrong, without its mark; of a missing command it says none. */
function said({ code, message }: CommanderError): string {
  return code === "commander.help" ? "a command is missing" : message.replace(/^error: /, "");
}

/** `help key create` is `key create --help`: commander alone would take one word. */
function withoutHelp(argv: readonly string[]): readonly string[] {
  const [first, ...rest] = argv;
  if (first !== "help") return argv;
  const known = rest.length === 0 || verbOf(rest) !== undefined;
  return known ? [...rest, "--help"] : rest;
}

/** Runs one command line (without interpreter and script). Resolves with the exit code, never rejects. */
export async function main(words: readonly string[]): Promise<number> {
  const argv = withoutHelp(words);
  // Programs read what is wrong from one JSON object, whatever it is.
  const json = argv.includes("--json");
  const used = verbOf(argv);
  if (used === undefined && argv.some((word) => word === "--version" || word === "-V")) {
    const { default: manifest } = await import("./package.json", { with: { type: "json" } });
    const { version } = manifest;
    new Output(json).answer({ version }, () => process.stdout.write(`${version}\n`));
    return EXIT.done;
  }
  const program = programWithOptions();
  if (json) program.configureOutput({ writeErr: () => undefined });
  const session = new Session(process.env, () => program.opts<GlobalOptions>());
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // The reader went away (`| head`): nothing is left to say.
    if (error.code === "EPIPE") process.exit(EXIT.done);
  });
  for (const verb of VERBS) {
    const command = program.command(verb.name).description(verb.summary).exitOverride();
    if (verb === used) (await verb.load()).define(command, session);
  }
  try {
    if (argv.length === 0) program.help({ error: true });
    await program.parseAsync([...argv], { from: "user" });
    return Number(process.exitCode ?? EXIT.done);
  } catch (error) {
    if (error instanceof CommanderError) {
      const code = ofCommander(error);
      // A missing command is answered with the help, to people.
      if (code !== EXIT.done && (json || error.code !== "commander.help")) new Output(json).failure(usage(said(error)));
      return code;
    }
    const failure = shown(error);
    if (failure.code === "INTERNAL" && process.env["CASEMATE_DEBUG"] === "1") session.out.note(String(failure.cause));
    session.out.failure(failure);
    return exitCode(failure);
  }
}
