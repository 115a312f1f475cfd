import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { toBase64 } from "@casemate/foundation/bytes";
import { isCasemateError } from "@casemate/foundation/errors";
import { builtLog, entry, MemoryFiles, openMemory, testSigner } from "./test-support.ts";
import { verifyAuditFiles } from "./verify-directory.ts";

const whole = await builtLog(20);
const names = [...whole.content.keys()];

/** Text that the log's own files are made of, to get past the first checks. */
const scrap = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc
    .array(
      fc.constantFrom(
        "\n",
        "\0",
        '"',
        `${"0".repeat(64)} `,
        '{"index":0,',
        '{"index":9999999999999999,',
        `casemate-audit/1 log=${"a".repeat(32)} first=0 previous=${"0".repeat(64)}\n`,
        `casemate-audit/1 log=${"a".repeat(32)} first=9999999999999999 previous=${"0".repeat(64)}\n`,
        `size=${"9".repeat(16)} hash=${"0".repeat(64)} check=`,
        "hsm-1+00000000+AQ==\n",
        "— hsm-1 AAAA\n",
        '{"size":1e999,"segment":-1}',
        "x".repeat(200_000),
      ),
      { maxLength: 6 },
    )
    .map((parts) => Buffer.from(parts.join(""))),
);

const damage = fc.record({
  name: fc.constantFrom(
    ...names,
    "records-0000000000000003.log",
    "records-9999999999999999.log",
    "tree",
    "saved",
    "stray",
  ),
  kind: fc.constantFrom("replace", "insert", "cut", "delete", "empty"),
  at: fc.nat(),
  bytes: scrap,
});

function damaged(
  files: MemoryFiles,
  { name, kind, at, bytes }: { name: string; kind: string; at: number; bytes: Buffer },
): void {
  const old = files.content.get(name) ?? Buffer.alloc(0);
  const place = at % (old.length + 1);
  if (kind === "delete") files.content.delete(name);
  else if (kind === "empty") files.content.set(name, Buffer.alloc(0));
  else if (kind === "replace") files.content.set(name, bytes);
  else if (kind === "cut") files.content.set(name, old.subarray(0, place));
  else files.content.set(name, Buffer.concat([old.subarray(0, place), bytes, old.subarray(place)]));
}

test("whatever the directory holds, verification answers and opening opens or refuses", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 3 }), async (damages) => {
      const files = whole.copy();
      for (const one of damages) damaged(files, one);
      const result = await verifyAuditFiles(files).catch((error: unknown) => {
        assert.ok(isCasemateError(error) && error.code === "NOT_FOUND", String(error));
      });
      assert.ok(result === undefined || result.ok === (result.problem === undefined));
      try {
        const log = await openMemory(files);
        log.useSigner(testSigner());
        await log.append(entry());
        await log.records({ limit: 1000 });
        await log.close();
      } catch (error) {
        assert.ok(isCasemateError(error), String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test("a log that verifies opens; what opens after damage verifies unless the damage lies before the saved point", async () => {
  await fc.assert(
    fc.asyncProperty(damage, async (one) => {
      const files = whole.copy();
      damaged(files, one);
      const result = await verifyAuditFiles(files).catch(() => undefined);
      if (result?.ok !== true) return;
      const log = await openMemory(files);
      assert.ok(log.head.size >= result.records);
      await log.append(entry());
      await log.close();
      assert.equal((await verifyAuditFiles(files)).problem, undefined);
    }),
    { numRuns: 300 },
  );
});

test("records that pretend to pin a key are never believed", async () => {
  const files = new MemoryFiles();
  const log = await openMemory(files);
  const key = testSigner("thief");
  const details = { name: key.name, publicKey: toBase64(key.publicKey) };
  await log.append(entry({ action: "audit.key", details }));
  await log.append(entry({ action: "audit.key", principal: "casemate" }));
  await log.append(entry({ resource: '"action":"audit.key"', details: { name: "x", publicKey: "AAAA" } }));
  await assert.rejects(log.append(entry({ action: "audit.key", source: "audit", details })), { code: "BAD_REQUEST" });
  await log.close();
  const result = await verifyAuditFiles(files);
  assert.equal(result.problem, undefined);
  assert.deepEqual(result.keys, []);
});
