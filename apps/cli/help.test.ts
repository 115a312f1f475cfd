/** What every help text has in common, and that usage lines keep to what they say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { ChoiceOption } from "./choices.ts";
import { isCasemateError } from "@casemate/foundation/errors";
import { main } from "./main.ts";
import { fullProgram } from "./program.ts";
import { Session } from "./session.ts";

const program = await fullProgram(new Session({}, () => ({})));

function all(command: Command, path = ""): { readonly path: string; readonly command: Command }[] {
  const here = `${path} ${command.name()}`.trim();
  return [{ path: here, command }, ...command.commands.flatMap((sub) => all(sub, here))];
}

/** What is wrong with a phrase of a help text. */
function faults(phrase: string): string[] {
  return [
    ...(phrase === "" ? ["is missing"] : []),
    ...(/^(?!Ed25519|Cedar)[A-Z][a-z]/.test(phrase) ? ["begins with a capital letter"] : []),
    ...(/[.!]$/.test(phrase) ? ["ends like a sentence"] : []),
  ];
}

test("every command, argument and option is described by a phrase", () => {
  assert.notDeepEqual(faults("Makes a key."), [], "the check finds faults");
  for (const { path, command } of all(program)) {
    if (command !== program) assert.deepEqual(faults(command.description()), [], path);
    for (const argument of command.registeredArguments)
      assert.deepEqual(faults(argument.description), [], `${path} ${argument.name()}`);
    for (const option of command.options) {
      assert.deepEqual(faults(option.description), [], `${path} ${option.flags}`);
    }
  }
});

test("help shows values and defaults of an option, and nothing twice", () => {
  const rows = all(program).flatMap(({ path, command }) =>
    command.options.map((option) => ({ path, option, text: command.createHelp().optionDescription(option) })),
  );
  assert.ok(rows.some(({ option }) => option instanceof ChoiceOption));
  for (const { path, text } of rows) assert.ok((text.match(/default:/g) ?? []).length <= 1, `${path}: ${text}`);
  const root = rows.find(({ path, option }) => path.endsWith("virtual-hsm") && option.long === "--root");
  assert.equal(root?.text, "what unlocks it (key-file, passphrase; default: key-file)");
});

test("an option that takes a few words refuses others, and takes several where it says so", () => {
  const one = new ChoiceOption("--state <state>", "", ["on", "off"]);
  const several = new ChoiceOption("--use <uses>", "", ["sign", "mac"], { many: true });
  assert.equal(one.parseArg?.("on", undefined), "on");
  assert.deepEqual(several.parseArg?.("mac", several.parseArg?.("sign,", undefined)), ["sign", "mac"]);
  for (const [option, word] of [
    [one, "constructor"],
    [several, "sign,fly"],
  ] as const)
    assert.throws(
      () => option.parseArg?.(word, undefined),
      (error) => isCasemateError(error) && error.details["usage"] === true,
    );
});

test("help of words that are no command is wrong usage", async (t) => {
  t.mock.method(process.stderr, "write", () => true);
  t.mock.method(process.stdout, "write", () => true);
  assert.equal(await main(["help", "nothing"]), 2);
  assert.equal(await main(["help", "key", "create"]), 0);
});
