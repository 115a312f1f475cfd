import { accessSync, constants, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { isCasemateError } from "@casemate/foundation/errors";
import type { DatabaseHead } from "@casemate/keyring/core";
import { isDamage } from "./sqlite-errors.ts";
import { Statements } from "./statements.ts";
import { readHead } from "./verified.ts";

export const DATABASE_FILE = "casemate.db";

/** What the database of a directory says of itself, with or without a server that writes it, and without its key: nothing of it is verified. */
export function databaseHead(directory: string): DatabaseHead {
  const file = join(directory, DATABASE_FILE);
  if (!existsSync(file)) return "missing";
  let db: DatabaseSync | undefined;
  try {
    accessSync(file, constants.R_OK);
    const url = pathToFileURL(file);
    // Without a write-ahead log the file says it all, and reading it leaves no file behind.
    if ((statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0) url.searchParams.set("immutable", "1");
    db = new DatabaseSync(url, { readOnly: true });
    const { generation, audit } = readHead(new Statements(db), file);
    return { generation, audit };
  } catch (error) {
    // Not when it is another account's, or locked: then nothing is known of it.
    return isCasemateError(error) || isDamage(error) ? "damaged" : undefined;
  } finally {
    db?.close();
  }
}
