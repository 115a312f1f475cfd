#!/usr/bin/env node
// Plain JavaScript so that an old Node can still say what is missing.
const major = Number(process.versions.node.split(".")[0]);
if (major >= 26) {
  const { main } = await import("../main.ts");
  process.exitCode = await main(process.argv.slice(2));
} else {
  process.stderr.write(
    `casemate: Node 26 or newer is needed, this is ${process.versions.node}.\n` +
      "Hint: run it as `npx casemate` inside the repository after `npm ci`; that brings the right Node.\n",
  );
  process.exitCode = 1;
}
