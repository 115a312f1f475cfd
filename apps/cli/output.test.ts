import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { CasemateError } from "@casemate/foundation/errors";
import { toJson } from "./json.ts";
import { Output } from "./output.ts";

function captured(): { readonly stream: Writable; readonly text: () => string } {
  let text = "";
  const stream = new Writable({
    write(part: Buffer, _encoding, done) {
      text += part.toString();
      done();
    },
  });
  return { stream, text: () => text };
}

function output(json: boolean) {
  const out = captured();
  const err = captured();
  return { to: new Output(json, { stdout: out.stream, stderr: err.stream }), out: out.text, err: err.text };
}

test("a table lines its columns up and has no colour away from a terminal", () => {
  const { to, out } = output(false);
  const columns = [
    { title: "NAME", cell: (row: readonly string[]) => row[0] ?? "" },
    { title: "STATE", cell: (row: readonly string[]) => row[1] ?? "" },
  ];
  to.table(
    [
      ["a", "active"],
      ["long-name", "x"],
    ],
    columns,
    "none",
  );
  assert.equal(out(), "NAME       STATE\na          active\nlong-name  x\n");
});

test("an empty table says so in a sentence", () => {
  const { to, out } = output(false);
  to.table([], [{ title: "NAME", cell: () => "" }], "No keys yet.");
  assert.equal(out(), "No keys yet.\n");
});

test("with --json the value is printed and the human part is not", () => {
  const { to, out } = output(true);
  to.answer([{ name: "a", key: Uint8Array.of(1, 2, 3) }], () => assert.fail("printed for people"));
  assert.deepEqual(JSON.parse(out()), [{ name: "a", key: "AQID" }]);
});

test("a failure names code and hint, on standard error, as JSON when asked", () => {
  const error = new CasemateError("NOT_EXPORTABLE", "key a never leaves hsm-1", { hint: "Use wrap." });
  const human = output(false);
  human.to.failure(error);
  assert.equal(human.out(), "");
  assert.match(human.err(), /casemate: key a never leaves hsm-1 \(NOT_EXPORTABLE\)\nHint: Use wrap\.\n/);
  const machine = output(true);
  machine.to.failure(error);
  assert.equal((JSON.parse(machine.err()) as { error: { code: string } }).error.code, "NOT_EXPORTABLE");
});

test("control characters from elsewhere are escaped for people, in tables, facts, sentences, notes and failures, and kept in JSON", () => {
  const evil = "x\u001b]0;owned\u0007\u009b2J\u007f\u0000\r\u202e";
  const shown = String.raw`x\u001b]0;owned\u0007\u009b2J\u007f\u0000\u000d\u202e`;
  const { to, out, err } = output(false);
  to.table([`${evil}\n`], [{ title: "LABEL", cell: (row) => row }], "none");
  to.facts([
    ["labels", `${evil}\n`],
    ["state", { style: "green", text: evil }],
  ]);
  to.line([evil, { style: "red", text: evil }, "\n\tends"]);
  to.remark(`${evil}\n`);
  to.failure(new CasemateError("INTERNAL", evil, { hint: evil }));
  const cell = `${shown}${String.raw`\u000a`}`;
  assert.equal(out(), `LABEL\n${cell}\nlabels  ${cell}\nstate   ${shown}\n${shown}${shown}\n\tends\n`);
  assert.equal(err(), `${cell}\ncasemate: ${shown} (INTERNAL)\nHint: ${shown}\n`);
  const machine = output(true);
  machine.to.answer({ evil }, () => undefined);
  assert.deepEqual(JSON.parse(machine.out()), { evil });
});

test("notes are remarks for people, and members of the answer or of the failure for programs", () => {
  const human = output(false);
  human.to.note("not checked");
  human.to.warnings(["weak"]);
  human.to.answer({ done: true }, () => human.to.line("Done."));
  assert.deepEqual([human.out(), human.err()], ["Done.\n", "Note: not checked\nNote: weak\n"]);
  const machine = output(true);
  machine.to.note("not checked");
  machine.to.warnings(["weak"]);
  machine.to.answer({ done: true, warnings: ["weak"] }, () => undefined);
  assert.deepEqual(JSON.parse(machine.out()), { done: true, warnings: ["weak"], notes: ["not checked"] });
  assert.equal(machine.err(), "");
  machine.to.failure(new CasemateError("TIMEOUT", "too late"));
  assert.deepEqual((JSON.parse(machine.err()) as { notes: unknown }).notes, ["not checked"]);
});

test("progress is silent where there is no terminal", () => {
  const { to, err } = output(false);
  to.progress("working …");
  assert.equal(err(), "");
});

test("bytes are base64 in JSON, as the REST interface writes them", () => {
  assert.equal(toJson({ a: new Uint8Array(2), b: [Buffer.of(1, 2, 3)] }), '{"a":"AAA=","b":["AQID"]}');
});
