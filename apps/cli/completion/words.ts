/** What may follow on a command line, read off the command tree: the scripts of the shells know nothing by themselves. */
import type { Argument, Command, Option } from "commander";
import { ChoiceOption } from "../choices.ts";
import { SOURCES } from "./sources.ts";

/** What an option or an argument takes; `kind` is a word for the scripts, `words` come after it. */
export interface Value {
  readonly kind: "free" | "files" | "directories" | "words" | "list" | "names";
  readonly words: readonly string[];
}

export interface OptionWords {
  readonly name: string;
  readonly summary: string;
  /** Absent for an option that stands alone. */
  readonly value?: Value;
}

/** What may follow one command path. */
export interface Words {
  /** Words after `casemate`, joined by spaces; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly OptionWords[];
  readonly arguments: readonly Value[];
}

const FREE: Value = { kind: "free", words: [] };

/** Placeholders in usage lines that say what kind of thing a value is. */
const PLACEHOLDERS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["file", { kind: "files", words: [] }],
  ["dir", { kind: "directories", words: [] }],
  ...Object.keys(SOURCES).map((name): [string, Value] => [name, { kind: "names", words: [name] }]),
]);

function valueOf(item: Option | Argument, placeholder: string): Value {
  const { argChoices } = item;
  if (argChoices === undefined) return PLACEHOLDERS.get(placeholder) ?? FREE;
  return { kind: item instanceof ChoiceOption && item.many ? "list" : "words", words: argChoices };
}

function optionWords(option: Option): OptionWords[] {
  const { long, description: summary } = option;
  if (typeof long !== "string" || option.hidden) return [];
  if (!option.required && !option.optional) return [{ name: long, summary }];
  return [{ name: long, summary, value: valueOf(option, /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1] ?? "") }];
}

/** The words of a command and of all below it. `global` are the options that every command takes. */
export function wordsOf(command: Command, path = "", global: readonly OptionWords[] = []): Words[] {
  const visible = command
    .createHelp()
    .visibleCommands(command)
    .filter((sub) => sub.name() !== "help");
  const own = command.options.flatMap(optionWords);
  const here: Words = {
    path,
    commands: visible.map((sub) => ({ name: sub.name(), summary: sub.description() })),
    options: [...own, ...global, { name: "--help", summary: "display help for command" }],
    arguments: command.registeredArguments.map((argument) => valueOf(argument, argument.name())),
  };
  const below = path === "" ? own : global;
  return [here, ...visible.flatMap((sub) => wordsOf(sub, `${path} ${sub.name()}`.trim(), below))];
}

/** Options that say which server to ask for names. */
export const SERVER_OPTIONS = ["--data", "--url", "--token-file", "--ca-file"] as const;

/** A word in single quotes, as bash and zsh take it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * Every value with the places where it stands. A place is a path and, after a space, the name of an option or the number of an argument, from 1.
 * Scripts look values up by place.
 */
export function places(words: readonly Words[]): ReadonlyMap<string, { readonly value: Value; readonly at: string[] }> {
  const found = new Map<string, { readonly value: Value; readonly at: string[] }>();
  const add = (value: Value, place: string): void => {
    const key = [value.kind, ...value.words].join(" ");
    const row = found.get(key) ?? { value, at: [] };
    found.set(key, row);
    row.at.push(place);
  };
  for (const { path, options, arguments: values } of words) {
    for (const { name, value } of options) if (value !== undefined) add(value, `${path} ${name}`);
    values.forEach((value, index) => add(value, `${path} ${index + 1}`));
  }
  return found;
}
