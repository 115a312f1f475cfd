import { isCalendarDate } from "@casemate/foundation/codec";
import { CasemateError } from "@casemate/foundation/errors";

export const DAY_MS = 86_400_000;

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** Milliseconds of an ISO 8601 text with a time zone. @throws BAD_REQUEST naming the field. */
export function parseTime(field: string, text: string): number {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (Number.isNaN(ms))
    throw new CasemateError("BAD_REQUEST", `${field} is not an ISO 8601 time with a zone`, {
      hint: "Write it like 2027-01-31T12:00:00Z.",
    });
  if (!isCalendarDate(text))
    throw new CasemateError("BAD_REQUEST", `${field}: the calendar has no ${text.slice(0, 10)}`);
  return ms;
}
