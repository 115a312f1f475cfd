// RFC 8259: JSON bodies, UTF-8 only. Names within an object must differ (§4 leaves open what happens else; RFC 7493 §2.3 forbids it).
import { CasemateError } from "@casemate/foundation/errors";
import { isUtf8 } from "node:buffer";

/** No body of ours is nested deeper than a few levels. */
const MAX_DEPTH = 32;

const WANTED =
  'Send one JSON object in UTF-8, without a byte order mark, such as {"input": "aGVsbG8="}; GET /v1/openapi.json describes the body of every route.';

/** Undefined for an empty body. @throws BAD_REQUEST, naming a member that is given twice. */
export function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  if (!isUtf8(body)) throw new CasemateError("BAD_REQUEST", "the body is not UTF-8", { hint: WANTED });
  const text = body.toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CasemateError("BAD_REQUEST", "the body is not JSON", { hint: WANTED, cause });
  }
  // A parser keeps the last of two members of one name, so fewer members than colons is the sign of it. Colons within strings are the other
  // reason: only then is the text read again. Counting costs some 20 ns for each item of a batch, whatever its size.
  if (colons(text) !== members(value, 0)) refuseDuplicates(text);
  return value;
}

function colons(text: string): number {
  let count = 0;
  for (let at = text.indexOf(":"); at >= 0; at = text.indexOf(":", at + 1)) count++;
  return count;
}

function members(value: unknown, depth: number): number {
  if (typeof value !== "object" || value === null) return 0;
  if (depth === MAX_DEPTH) {
    throw new CasemateError("BAD_REQUEST", `the body is nested deeper than ${MAX_DEPTH} levels`, {
      hint: "No body that is understood here is nested deeper than a few levels: GET /v1/openapi.json describes them.",
    });
  }
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value as readonly unknown[]) if (typeof item === "object") count += members(item, depth + 1);
    return count;
  }
  const object = value as Readonly<Record<string, unknown>>;
  for (const name in object) {
    count++;
    const member = object[name];
    if (typeof member === "object") count += members(member, depth + 1);
  }
  return count;
}

/** Walks through text that is known to be JSON; strings are skipped in one step. */
function refuseDuplicates(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (letter === "{") open.push(new Set());
    else if (letter === "[") open.push(undefined);
    else if (letter === "}" || letter === "]") open.pop();
    else if (letter === '"') {
      const end = endOfString(text, at);
      const names = open.at(-1);
      if (names !== undefined && isName(text, end)) {
        const name = JSON.parse(text.slice(at, end)) as string;
        if (names.has(name)) throw twice(name);
        names.add(name);
      }
      at = end - 1;
    }
  }
}

/** Behind the closing quotation mark of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    let escapes = 0;
    while (text[quote - 1 - escapes] === "\\") escapes++;
    if (escapes % 2 === 0) return quote + 1;
  }
}

function isName(text: string, end: number): boolean {
  let at = end;
  while (" \t\r\n".includes(text[at] ?? "x")) at++;
  return text[at] === ":";
}

function twice(name: string): CasemateError {
  const shown = name.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, "?");
  return new CasemateError("BAD_REQUEST", `body: the field "${shown}" is given twice in one object`, {
    hint: "Send each field once: which of two values counts is not the same for every reader of JSON.",
  });
}
