export { openSessionKeys, type SessionKeyProcess, type SessionKeysOptions } from "./open.ts";
