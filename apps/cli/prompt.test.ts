import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import { askSecret } from "./prompt.ts";

/** A terminal at which nobody sees what is typed. */
function terminal() {
  const raw: boolean[] = [];
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (on: boolean) => raw.push(on) });
  const stderr = new PassThrough();
  let shown = "";
  stderr.on("data", (part: Buffer) => (shown += part.toString("utf8")));
  return { stdin, stderr, raw, shown: () => shown };
}
const textOf = (secret: { reveal(): Uint8Array }): string => Buffer.from(secret.reveal()).toString("utf8");

test("a secret is asked for as often as it takes, without being shown, and what was typed is wiped", async () => {
  const at = terminal();
  const parts = ["wrx", "\u007f", "ong\r", "again\n"].map((text) => Buffer.from(text));
  const first = askSecret("New passphrase: ", at);
  for (const part of parts.slice(0, 3)) at.stdin.write(part);
  assert.equal(textOf(await first), "wrong");
  const second = askSecret("The same again: ", at);
  at.stdin.write(parts[3]);
  assert.equal(textOf(await second), "again");
  assert.equal(at.shown(), "New passphrase: \nThe same again: \n");
  assert.deepEqual(at.raw, [true, false, true, false]);
  for (const part of parts) assert.ok(part.every((byte) => byte === 0));
});

test("Ctrl-C, the end of the terminal, and no terminal at all are wrong usage", async () => {
  const cancelled = (error: unknown): boolean => isCasemateError(error) && error.message === "cancelled";
  const at = terminal();
  const asked = askSecret("PIN: ", at);
  at.stdin.write(Uint8Array.of(49, 3));
  await assert.rejects(asked, cancelled);
  const ended = askSecret("PIN: ", at);
  at.stdin.end();
  await assert.rejects(ended, cancelled);
  await assert.rejects(askSecret("PIN: ", { stdin: new PassThrough(), stderr: new PassThrough() }), /no terminal/);
});
