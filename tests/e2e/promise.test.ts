import { test } from "node:test";
import { keepsThePromiseOfSessionKeys } from "./promise-session-keys.ts";
import { keepsThePromise } from "./promise.ts";

test("no private value is in the server's memory, its files or its logs, and all of them are in the boundary's", (t) =>
  keepsThePromise(t, false));

test("no value of a session key is in the server's memory, its files or its logs, and all of them are in their own process", (t) =>
  keepsThePromiseOfSessionKeys(t, false));
