import assert from "node:assert/strict";
import { test } from "node:test";
import { DatabaseComparison, type DatabaseHead } from "./database-comparison.ts";

const hash = "ab".repeat(32);
const head = (generation: number, size: number): DatabaseHead => ({ generation, audit: { size, hash } });
const naming = (index: number, generation: number): Buffer =>
  Buffer.from(`${hash} ${JSON.stringify({ index, details: { generation } })}`);

/** What is said of a log of so many records, of which those from `first` on name the generations 1, 2, … */
function problemOf(records: number, first: number, ...reads: DatabaseHead[]): string | undefined {
  let at = 0;
  const comparison = new DatabaseComparison(() => reads[Math.min(at++, reads.length - 1)]);
  for (let index = 0; index < records; index++) {
    const line = index < first ? Buffer.from("{}") : naming(index, index - first + 1);
    comparison.accept(line, { size: index + 1, hash });
  }
  return comparison.problem(records)?.message;
}

test("a database that does not belong to the log is named by the first record that it cannot have seen", () => {
  assert.equal(problemOf(10, 5, head(5, 10)), undefined);
  assert.equal(problemOf(10, 5, head(5, 12)), "the log has 10 records, the database has seen 12");
  assert.equal(
    problemOf(10, 5, head(2, 7)),
    "record 7 names generation 3 of the database, which is at 2",
    "the first, not the last",
  );
  assert.equal(problemOf(10, 5, head(2, 7), head(5, 10)), undefined, "a server went on meanwhile");
  assert.equal(problemOf(10, 5, head(2, 7), head(4, 9)), "record 9 names generation 5 of the database, which is at 4");
});

test("a database that is missing or damaged is a problem of a log that has records; one that may not be read is none", () => {
  assert.match(problemOf(3, 3, "missing") ?? "", /no database beside the log/);
  assert.match(problemOf(3, 3, "damaged") ?? "", /damaged, or is none/);
  assert.equal(problemOf(0, 0, "missing"), undefined);
  assert.equal(problemOf(0, 0, "damaged"), undefined);
  assert.equal(problemOf(3, 3, undefined), undefined);
});
