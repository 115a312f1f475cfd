import assert from "node:assert/strict";
import { test } from "node:test";
import { p11Word } from "./bridge-command.ts";
import { remoteAddress } from "./far.ts";

/** p11_argv_parse of p11-kit 0.24 to 0.26, as far as it goes for one word or several. */
function split(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const char = line.charAt(at);
    if (char === quote) quote = "";
    else if (quote !== "") {
      if (char !== "\\") word = (word ?? "") + char;
      else word = `${word ?? ""}${line.charAt(at + 1) === quote ? "" : char}${line.charAt(++at)}`;
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (char === "'" || char === '"') quote = char;
    else if (char === "\\") word = (word ?? "") + char + line.charAt(++at);
    else word = (word ?? "") + char;
  }
  return word === undefined ? words : [...words, word];
}

test("what p11-kit splits is what was put together, whatever a path is called", () => {
  const words = [
    "/a/b",
    "a b",
    "it's",
    'say "x"',
    String.raw`back\slash`,
    String.raw`a\ b`,
    String.raw`\'"`,
    "$HOME;`x`",
    "ä ö",
    "'\"",
  ];
  assert.deepEqual(split(words.map(p11Word).join(" ")), words);
  assert.equal(p11Word("/plain/path-1.0"), "/plain/path-1.0");
});

test("a word that p11-kit cannot be given is refused by name", () => {
  for (const word of ["", "a\nb", "a\0b", "a\\"]) assert.throws(() => p11Word(word), { code: "BAD_REQUEST" });
});

test("an address is a host and a port and nothing more", () => {
  assert.deepEqual(remoteAddress("hsm.example:8731"), { host: "hsm.example", port: 8731 });
  assert.deepEqual(remoteAddress("[::1]:8731"), { host: "::1", port: 8731 });
  for (const address of ["hsm.example", "hsm.example:", ":8731", "user@hsm.example:1", "hsm.example:1/x", "a b:1"])
    assert.throws(() => remoteAddress(address), /is not HOST:PORT/, address);
});
