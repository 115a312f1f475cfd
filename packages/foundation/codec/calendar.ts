/** Whether the text begins with a date, as 2027-01-31, that the calendar has: `Date.parse` makes 2 March of 30 February. */
export function isCalendarDate(text: string): boolean {
  const date = /^\d{4}-\d\d-\d\d/.exec(text)?.[0];
  if (date === undefined) return false;
  const start = new Date(`${date}T00:00:00Z`);
  return Number.isFinite(start.getTime()) && start.toISOString().startsWith(date);
}
