import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCasemateError } from "@casemate/foundation/errors";
import { openKeyFile } from "./key-file.ts";

const ODD: readonly (readonly [what: string, make: (path: string) => void, hint: RegExp])[] = [
  ["a symbolic link", (path) => symlinkSync("elsewhere", path), /symbolic link is there, and links are not followed/],
  ["a directory", (path) => mkdirSync(path), /A directory is there/],
  ["a pipe", (path) => void execFileSync("mkfifo", ["-m", "600", path]), /put the key file itself in its place/],
  ["open to others", (path) => writeFileSync(path, "k", { mode: 0o644 }), /^Run `chmod 600 /],
];

for (const [what, make, hint] of ODD) {
  test(`a key file that is ${what} is refused with what to do about it`, (t) => {
    const directory = mkdtempSync(join(tmpdir(), "key-file-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const path = join(directory, "hsm-1.key");
    make(path);
    assert.throws(
      () => openKeyFile("hsm-1", { kind: "key-file", path }, false),
      (error) => isCasemateError(error) && error.code === "CONFIG_INVALID" && hint.test(error.hint ?? ""),
    );
  });
}
