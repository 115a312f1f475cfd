/** Text for a terminal: what others wrote must not move its cursor, change its title or hide a line. */

// ECMA-48: C0 (but for tab and the end of a line), DEL and C1; also line and direction controls of Unicode, which reorder what is read.
const LINES = /\r(?!\n)|(?![\t\n\r])[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
const CELL = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

function escape(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** One value, on one line. */
export function printable(text: string): string {
  return text.replace(CELL, escape);
}

/** Sentences of the program, which have line feeds of their own. */
export function printableLines(text: string): string {
  return text.replace(LINES, escape);
}
