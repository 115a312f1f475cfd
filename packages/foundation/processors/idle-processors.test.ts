import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { idleProcessors } from "./idle-processors.ts";

const openFiles = (): number => readdirSync("/proc/self/fd").length;

test("a request of no latency is written and its file open until it is released", () => {
  const folder = mkdtempSync(join(tmpdir(), "casemate-idle-"));
  try {
    const path = join(folder, "cpu_dma_latency");
    writeFileSync(path, "????");
    const processors = idleProcessors(path);
    const before = openFiles();
    assert.equal(processors.hold(), true);
    assert.equal(processors.hold(), true);
    assert.deepEqual([...readFileSync(path)], [0, 0, 0, 0]);
    assert.equal(openFiles(), before + 1);
    processors.release();
    processors.release();
    assert.equal(openFiles(), before);
    assert.equal(processors.hold(), true, "it can be held again");
    processors.release();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("where the interface is absent or refuses, nothing is held and nothing stays open", () => {
  const before = openFiles();
  for (const path of ["/dev/no-such-interface", "/dev/full"]) {
    const processors = idleProcessors(path);
    assert.equal(processors.hold(), false, path);
    assert.equal(processors.hold(), false, path);
    processors.release();
  }
  assert.equal(openFiles(), before);
});
