import { test } from "node:test";
import { keepsThePromise } from "./promise.ts";

test("no private value is in the server's memory, its files or its logs, and all of them are in the boundary's", (t) =>
  keepsThePromise(t, false));
