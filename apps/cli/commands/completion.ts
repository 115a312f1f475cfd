import { Argument, type Command } from "commander";
import { usage } from "../failure.ts";
import { fullProgram } from "../program.ts";
import type { Session } from "../session.ts";
import { SHELLS, type Words } from "../shells.ts";

/** Every command path with the words that may follow it. */
function wordsOf(command: Command, path: string, global: readonly string[]): Words[] {
  const visible = command
    .createHelp()
    .visibleCommands(command)
    .filter((sub) => sub.name() !== "help");
  const options = command.options.flatMap((option) =>
    option.long === undefined || option.long === null ? [] : [option.long],
  );
  const here: Words = {
    path,
    commands: visible.map((sub) => ({ name: sub.name(), summary: sub.description() })),
    options: [...options, ...(path === "" ? [] : global), "--help"],
    values: command.registeredArguments[0]?.argChoices ?? [],
    takesKey: command.registeredArguments[0]?.name() === "key" || /^key (?!create|import|adopt|list)/.test(path),
  };
  return [here, ...visible.flatMap((sub) => wordsOf(sub, `${path} ${sub.name()}`.trim(), global))];
}

export function define(command: Command, session: Session): void {
  command
    .addArgument(new Argument("[shell]", "which shell").choices(Object.keys(SHELLS)))
    .addHelpText("after", "\nFor bash: casemate completion bash > ~/.local/share/bash-completion/completions/casemate")
    .action(async (name?: string) => {
      const there = `There is: ${Object.keys(SHELLS).join(", ")}.`;
      if (name === undefined) throw usage("name the shell to complete for", there);
      const shell = new Map(Object.entries(SHELLS)).get(name);
      if (shell === undefined) throw usage(`there is no completion for ${name}`, there);
      const program = await fullProgram(session);
      const global = program.options.flatMap((option) => (option.long ? [option.long] : []));
      const script = shell(wordsOf(program, "", global));
      session.out.answer({ shell: name, script }, () => session.out.line(script.trimEnd()));
    });

  command
    .command("keys", { hidden: true })
    .description("names of keys, one a line: asked by the completion scripts")
    .action(async () => {
      const client = await session.client();
      const { items } = await client.listKeys({ limit: 200 });
      session.out.answer(items, () => items.forEach(({ name }) => session.out.line(name)));
    });
}
