/** Hints are sentences: whoever reads one reads it after a message, on a line of its own. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "..");
const LITERAL = /hint:\s*(?:"((?:[^"\\\n]|\\.)+)"|`((?:[^`\\$\n]|\\.|\$\{[^`{}]*\})+)`)(?=\s*[,}\n)])/g;
const TEXT = String.raw`(?:"((?:[^"\\\n]|\\.)+)"|\`((?:[^\`\\\n]|\\.)+)\`)`;
/** Helpers that take message and hint by position. */
const POSITIONAL = new RegExp(String.raw`\b(?:refuse|means|invalid)\(\s*(?:"[A-Z_]+"|id),\s*${TEXT},\s*${TEXT}`, "g");
const CONSTANT = new RegExp(String.raw`const [A-Z_]*HINT =\s*${TEXT}`, "g");
/** A command or a setting keeps its own first letter, and what is put in at the end has its own full stop. */
const SENTENCE = /^(?:[^a-z]|casemate |apt |pinRoot ).*(?:[.!?]|\})$/s;

test("every hint begins with a capital letter and ends with a full stop", () => {
  assert.ok(SENTENCE.test("Try again.") && !SENTENCE.test("try again") && !SENTENCE.test("Try again"));
  const files = globSync("{packages,apps}/**/*.ts", { cwd: ROOT, exclude: (path) => path.includes("node_modules") });
  const hints = files
    .filter((file) => !/\.(?:test|interop|testguest|generated)\.ts$/.test(file))
    .flatMap((file) => {
      const text = readFileSync(join(ROOT, file), "utf8");
      return [LITERAL, POSITIONAL, CONSTANT]
        .flatMap((pattern) => [...text.matchAll(pattern)])
        .map((found) => `${file}: ${found[3] ?? found[4] ?? found[1] ?? found[2]}`);
    });
  assert.ok(hints.length > 200, String(hints.length));
  for (const helped of ["virtual-hsm/sign.ts: Hash", "transport-errors.ts: Send"])
    assert.ok(
      hints.some((hint) => hint.includes(helped)),
      helped,
    );
  const wrong = hints.filter((hint) => !SENTENCE.test(hint.slice(hint.indexOf(": ") + 2)) && !/: apt /.test(hint));
  assert.deepEqual(wrong, []);
});
