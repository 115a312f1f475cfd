import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { LogStream, openLogStream } from "./log-stream.ts";

/** A disk with room for so many bytes. */
class Disk {
  text = "";
  room = Infinity;

  readonly write = (bytes: Uint8Array): number => {
    if (this.room === 0) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
    const taken = bytes.subarray(0, this.room);
    this.room -= taken.length;
    this.text += Buffer.from(taken).toString();
    return taken.length;
  };
}

test("lines for a full disk are dropped, and the first that fits again says how many were lost", () => {
  const disk = new Disk();
  const log = new LogStream(disk.write);
  log.write('{"msg":"one"}\n');
  disk.room = 5;
  log.write('{"msg":"cut"}\n');
  log.write('{"msg":"dropped"}\n');
  disk.room = Infinity;
  log.write('{"msg":"four"}\n');
  log.write('{"msg":"five"}\n');
  const lines = disk.text.trimEnd().split("\n");
  assert.deepEqual(
    [lines[0], lines[1], ...lines.slice(3)],
    ['{"msg":"one"}', '{"msg', '{"msg":"four"}', '{"msg":"five"}'],
  );
  const loss = JSON.parse(lines[2] ?? "") as { lines: number; code: string };
  assert.deepEqual([loss.lines, loss.code], [2, "ENOSPC"]);
});

test("a process whose log is on a full disk goes on and ends", async (t) => {
  if (!existsSync("/dev/full")) return t.skip("there is no /dev/full here");
  const code = `
    const { openLog } = await import(${JSON.stringify(import.meta.resolve("./log.ts"))});
    const log = openLog("/dev/full", "info");
    for (let n = 0; n < 100; n++) log.error({ n }, "x".repeat(1000));
    await new Promise((done) => setTimeout(done, 50));
    process.stdout.write("went on");`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", code], {
    timeout: 20_000,
  });
  assert.equal(stdout, "went on");
});

test("a log that cannot be opened is named", () => {
  assert.throws(() => openLogStream("/nowhere/at/all.log"), {
    code: "CONFIG_INVALID",
    message: /\/nowhere\/at\/all\.log.*ENOENT/,
  });
});
