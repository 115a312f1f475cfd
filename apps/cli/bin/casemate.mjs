#!/usr/bin/env node
// Plain JavaScript, so that an old Node can still find the right one or say what is missing.
import { existsSync, mkdirSync } from "node:fs";
import module from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const NEEDED = 26;
const self = fileURLToPath(import.meta.url);

/** Compiled code is kept per account, never in a directory that others can write to. */
function cacheCompiledCode() {
  if (process.env.NODE_COMPILE_CACHE !== undefined || process.env.NODE_DISABLE_COMPILE_CACHE !== undefined) return;
  const directory = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "casemate", "compiled");
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    module.enableCompileCache(directory);
    // For the server, which takes this process's place.
    process.env.NODE_COMPILE_CACHE = directory;
  } catch {
    // Only speed is lost.
  }
}

/** Node says that parts of it are experimental; users of this program can do nothing about that. */
function dropExperimentalWarnings() {
  process.removeAllListeners("warning");
  process.on("warning", ({ name, message }) => {
    if (name !== "ExperimentalWarning") process.stderr.write(`${name}: ${message}\n`);
  });
}

function rightNode() {
  try {
    const binary = module.createRequire(self).resolve("node/bin/node");
    return existsSync(binary) ? binary : undefined;
  } catch {
    return undefined;
  }
}

/** Starts this file again under the Node that `npm ci` brought, passing signals and the exit code through. */
async function again(binary) {
  const { spawn } = await import("node:child_process");
  const env = { ...process.env, CASEMATE_REEXEC: "1" };
  const child = spawn(binary, [self, ...process.argv.slice(2)], { stdio: "inherit", env });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`casemate: cannot start ${binary}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on("exit", (code) => {
    process.exitCode = code ?? 1;
    process.removeAllListeners();
  });
}

if (Number(process.versions.node.split(".")[0]) >= NEEDED) {
  cacheCompiledCode();
  dropExperimentalWarnings();
  const { main } = await import("../main.ts");
  process.exitCode = await main(process.argv.slice(2));
} else {
  const binary = process.env.CASEMATE_REEXEC === "1" ? undefined : rightNode();
  if (binary === undefined) {
    process.stderr.write(
      `casemate: Node ${NEEDED} or newer is needed, this is ${process.versions.node}.\n` +
        "Hint: run `npm ci` in the repository; it brings the right Node, and `npx casemate` then uses it.\n",
    );
    process.exitCode = 1;
  } else {
    await again(binary);
  }
}
