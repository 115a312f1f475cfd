/** `npm run help`: every task of package.json with its one line. */
import manifest from "../package.json" with { type: "json" };

const help: Readonly<Record<string, string>> = manifest.casemate.help;
const width = Math.max(...Object.keys(manifest.scripts).map((name) => name.length));
for (const name of Object.keys(manifest.scripts)) {
  process.stdout.write(`npm run ${name.padEnd(width)}  ${help[name] ?? "(no description)"}\n`);
}
