import { fromBase64Url, fromUtf8, toBase64Url, toUtf8 } from "@casemate/foundation/bytes";
import { CasemateError } from "@casemate/foundation/errors";
import type { Page, Paged } from "./types.ts";

const MAX_PAGE = 1000;
const DEFAULT_PAGE = 100;

/** Before the place in every cursor, so that other text is told from one. */
const MARK = "at:";

/** @throws BAD_REQUEST when out of 1..1000. */
export function limitOf(page: Page): number {
  const limit = page.limit ?? DEFAULT_PAGE;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE)
    throw new CasemateError("BAD_REQUEST", `limit must be a whole number from 1 to ${MAX_PAGE}`);
  return limit;
}

/** The place a cursor stands for. @throws BAD_REQUEST for anything `pageOf` did not make. */
export function afterOf(page: Page): { readonly after?: string } {
  if (page.cursor === undefined) return {};
  const place = textOf(page.cursor);
  if (place?.startsWith(MARK) === true) return { after: place.slice(MARK.length) };
  throw new CasemateError("BAD_REQUEST", "the cursor is not one of ours", {
    hint: "Pass `next` of the page before, or start without a cursor.",
  });
}

function textOf(cursor: string): string | undefined {
  try {
    return fromUtf8(fromBase64Url(cursor));
  } catch {
    return undefined;
  }
}

/** A page out of `limit + 1` rows that were asked for. */
export function pageOf<R, T>(
  rows: readonly R[],
  limit: number,
  position: (row: R) => string,
  view: (row: R) => T,
): Paged<T> {
  const items = rows.slice(0, limit).map(view);
  const last = rows[limit - 1];
  if (rows.length <= limit || last === undefined) return { items };
  return { items, next: toBase64Url(toUtf8(MARK + position(last))) };
}
