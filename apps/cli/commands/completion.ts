import { Argument, type Command } from "commander";
import { bash } from "../completion/bash.ts";
import { fish } from "../completion/fish.ts";
import { SOURCES, offered, type Named } from "../completion/sources.ts";
import { wordsOf, type Words } from "../completion/words.ts";
import { zsh } from "../completion/zsh.ts";
import { EXIT, usage } from "../failure.ts";
import { fullProgram } from "../program.ts";
import type { Session } from "../session.ts";

const SHELLS: ReadonlyMap<string, (words: readonly Words[]) => string> = new Map([
  ["bash", bash],
  ["zsh", zsh],
  ["fish", fish],
]);

/** Somebody waits with a finger on the Tab key. */
const PATIENCE_MS = 500;

const EXAMPLES = `
For bash: casemate completion bash > ~/.local/share/bash-completion/completions/casemate
For zsh:  casemate completion zsh > ~/.zfunc/_casemate, with ~/.zfunc in fpath before compinit
For fish: casemate completion fish > ~/.config/fish/completions/casemate.fish

Names of keys, devices, tokens and policies are asked of the server, for up to half a second.`;

/** Names that the server knows, one a line. What cannot be had in time is not offered, and nothing is said about it. */
async function names(session: Session, kind: keyof typeof SOURCES): Promise<void> {
  const found: Named[] = [];
  const print = (): void =>
    session.out.answer(found, () => found.forEach(({ name, about }) => session.out.line(`${name}\t${about}`)));
  // A name that is looked up or a page that is awaited would keep the process.
  const late = setTimeout(() => {
    print();
    process.exit(EXIT.done);
  }, PATIENCE_MS);
  try {
    for await (const one of offered(await session.client(), SOURCES[kind])) found.push(one);
  } catch {
    // What was found before is as good as it was.
  }
  clearTimeout(late);
  print();
}

export function define(command: Command, session: Session): void {
  command
    .addArgument(new Argument("[shell]", "which shell").choices([...SHELLS.keys()]))
    .addHelpText("after", EXAMPLES)
    .action(async (name?: string) => {
      const shell = SHELLS.get(name ?? "");
      if (name === undefined || shell === undefined)
        throw usage("name the shell to complete for", `There is: ${[...SHELLS.keys()].join(", ")}.`);
      const script = shell(wordsOf(await fullProgram(session)));
      session.out.answer({ shell: name, script }, () => session.out.line(script.trimEnd()));
    });

  command
    .command("names", { hidden: true })
    .description("names that a server knows, one a line: asked by the completion scripts")
    .addArgument(new Argument("<kind>", "of what").choices(Object.keys(SOURCES)))
    .action((kind: keyof typeof SOURCES) => names(session, kind));
}
