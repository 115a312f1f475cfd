export { openSqliteStore, type SqliteOptions } from "./sqlite-store.ts";
export { databaseHead } from "./read-head.ts";
