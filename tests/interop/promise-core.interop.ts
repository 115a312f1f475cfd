/** The promise once more, with core files of the server and its boundary. */
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { keepsThePromiseOfSessionKeys } from "../e2e/promise-session-keys.ts";
import { keepsThePromise } from "../e2e/promise.ts";

const skip = spawnSync("gcore", ["-h"]).error === undefined ? false : "gcore (package gdb) is not installed";

test("no private value is in a core file of the server, and some are in the boundary's", { skip }, (t) =>
  keepsThePromise(t, true),
);

test("no value of a session key is in a core file of the server, and all are in their own process's", { skip }, (t) =>
  keepsThePromiseOfSessionKeys(t, true),
);
