import assert from "node:assert/strict";
import { test } from "node:test";
import { isCalendarDate } from "@casemate/foundation/codec";

test("dates of the calendar are told from those that it has not", () => {
  for (const text of ["2028-02-29", "2000-02-29T12:00:00Z", "2030-12-31", "0001-01-01"])
    assert.equal(isCalendarDate(text), true, text);
  for (const text of [
    "2030-02-29",
    "2030-02-30",
    "2100-02-29",
    "2030-04-31T00:00:00+02:00",
    "2030-13-01",
    "2030-00-10",
  ])
    assert.equal(isCalendarDate(text), false, text);
  for (const text of ["", "tomorrow", "Feb 30 2030", "2030-1-1", "+90d"])
    assert.equal(isCalendarDate(text), false, text);
});
