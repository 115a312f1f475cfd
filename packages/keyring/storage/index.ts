export { openSqliteStore, type SqliteOptions } from "./sqlite-store.ts";
