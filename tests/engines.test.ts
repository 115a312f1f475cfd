/** `npm ci` warns of every package that asks for another Node than the one it runs under: the set-up is to be quiet on what we say is enough. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");
const read = (name: string): unknown => JSON.parse(readFileSync(join(root, name), "utf8"));

type Version = readonly [major: number, minor: number, patch: number];

function parse(text: string): Version {
  const [major = 0, minor = 0, patch = 0] = text.replace(".x", "").split(".").map(Number);
  return [major, minor, patch];
}

const compare = (a: Version, b: Version): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

/** The forms that the lock file has: `>=20`, `^20.19.0`, `20`, joined by `||`. @throws Error for another */
function allows(range: string, version: Version): boolean {
  return range.split("||").some((part) => {
    const [, sign, text] = /^(>=|>|\^)? ?(\d+(?:\.(?:\d+|x)){0,2})$/.exec(part.trim()) ?? [];
    if (text === undefined) throw new Error(`a range of another form: ${range}`);
    const bound = parse(text);
    if (sign === ">=" || sign === ">") return compare(version, bound) >= (sign === ">" ? 1 : 0);
    return version[0] === bound[0] && compare(version, bound) >= 0;
  });
}

interface Locked {
  readonly version?: string;
  readonly engines?: { readonly node?: string };
}

const refusing = (packages: Readonly<Record<string, Locked>>, version: Version): string[] =>
  Object.entries(packages)
    .filter(([, { engines }]) => engines?.node !== undefined && !allows(engines.node, version))
    .map(([name, { engines }]) => `${name} wants ${engines?.node}`);

test("no package asks for a newer Node than the repository does", () => {
  const { engines } = read("package.json") as { engines: { node: string } };
  const { packages } = read("package-lock.json") as { packages: Record<string, Locked> };
  const least = parse(engines.node.replace(">=", ""));
  assert.deepEqual(refusing({ ...packages, planted: { engines: { node: ">=22 || ^21.1" } } }, least), [
    "planted wants >=22 || ^21.1",
  ]);
  assert.deepEqual(refusing(packages, least), []);
});
