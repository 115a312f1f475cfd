/** Tokens of independent PKCS#11 modules from Debian, made for one test and thrown away. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Device } from "@casemate/devices/contract";
import { openPkcs11Device, type Pkcs11Options } from "@casemate/devices/driver-pkcs11";
import { toUtf8 } from "@casemate/foundation/bytes";
import { SecretBytes } from "@casemate/foundation/secrets";

export const SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so";
export const ADDON = join(import.meta.dirname, "../../node_modules/.cache/pkcs11js/node_modules/pkcs11js");
export const PIN = "correct-horse-1";
const SO_PIN = "officer-1234567";

/** The name of the first thing that is not installed, as the reason to skip; undefined when all are there. */
export function missing(...needed: readonly string[]): string | undefined {
  if (!existsSync(join(ADDON, "build/Release/pkcs11.node")))
    return "pkcs11js is not installed (tools/interop-packages)";
  for (const name of needed) {
    const there = name.startsWith("/")
      ? existsSync(name)
      : spawnSync("which", [name], { stdio: "ignore" }).status === 0;
    if (!there) return `${name} is not installed`;
  }
  return undefined;
}

export interface SoftHsm extends Disposable {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Makes a further token. */
  token(label: string): void;
  /** Takes the token's files away, or brings them back. */
  remove(): void;
  restore(): void;
  tool(...args: readonly string[]): string;
}

/** SoftHSM 2 with a token of its own directory. */
export function softHsm(...labels: readonly string[]): SoftHsm {
  const directory = mkdtempSync(join(tmpdir(), "casemate-softhsm-"));
  const tokens = join(directory, "tokens");
  const conf = join(directory, "softhsm2.conf");
  mkdirSync(tokens);
  writeFileSync(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const environment = { SOFTHSM2_CONF: conf };
  const run = (command: string, args: readonly string[]): string => {
    const ran = spawnSync(command, args, { env: { ...process.env, ...environment }, encoding: "utf8" });
    if (ran.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${ran.stderr}${ran.stdout}`);
    return ran.stdout;
  };
  const token = (label: string): void => {
    run("softhsm2-util", ["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]);
  };
  for (const label of labels) token(label);
  return {
    directory,
    environment,
    token,
    remove: () => void run("mv", [tokens, `${tokens}.away`]),
    restore: () => void run("mv", [`${tokens}.away`, tokens]),
    tool: (...args) => run("pkcs11-tool", ["--module", SOFTHSM, "--login", "--pin", PIN, ...args]),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

export const pinOf = (pin: string) => (): Promise<SecretBytes> => Promise.resolve(new SecretBytes(toUtf8(pin)));

/** Opens a token of SoftHSM, with short pauses. */
export function openSoftHsm(hsm: SoftHsm, token: string, more: Partial<Pkcs11Options> = {}): Promise<Device> {
  return openPkcs11Device({
    id: "p11-1",
    module: SOFTHSM,
    token,
    pin: pinOf(PIN),
    addon: ADDON,
    environment: hsm.environment,
    backoffMs: { first: 20, most: 200 },
    ...more,
  });
}

/**
 * The device does what `fixtures/pkcs11-devices/NAME.json` says, which docs/pkcs11-matrix.md is made from. Another version of the
 * module may do something else: that is skipped, saying so. `CASEMATE_RECORD=1` writes the file anew.
 */
export function assertRecorded(t: TestContext, name: string, { identity, algorithms }: Device): void {
  const file = join(import.meta.dirname, "../../fixtures/pkcs11-devices", `${name}.json`);
  const { maker, model, firmware } = identity;
  const found = { maker, model, firmware, algorithms };
  if (process.env["CASEMATE_RECORD"] === "1") writeFileSync(file, `${JSON.stringify(found, null, 2)}\n`);
  const recorded = JSON.parse(readFileSync(file, "utf8")) as typeof found;
  if (recorded.firmware !== firmware) t.skip(`recorded of version ${recorded.firmware}, installed is ${firmware}`);
  else assert.deepEqual(found, recorded);
}

/** SoftHSM with the token `t` behind a module of ours, compiled from a source beside the tests. */
export interface InFront {
  readonly hsm: SoftHsm;
  /** What the module does next, and what it counted: a word for each call in a line of its own. */
  readonly control: string;
  readonly counted: (word: string) => number;
  open(more?: Partial<Pkcs11Options>): Promise<Device>;
}

/** @param prefix of the variables by which the module finds its target and its two files. */
export function inFront(t: TestContext, source: string, prefix: string): InFront {
  const hsm = softHsm("t");
  t.after(() => hsm[Symbol.dispose]());
  const [library, control, counts] = ["front.so", "control", "counts"].map((name) => join(hsm.directory, name)) as [
    string,
    string,
    string,
  ];
  const built = spawnSync(
    "cc",
    ["-shared", "-fPIC", "-O1", "-w", "-o", library, join(import.meta.dirname, source), "-ldl"],
    { encoding: "utf8" },
  );
  assert.equal(built.status, 0, built.stderr);
  const environment = {
    ...hsm.environment,
    [`${prefix}_TARGET`]: SOFTHSM,
    [`${prefix}_CONTROL`]: control,
    [`${prefix}_COUNTS`]: counts,
  };
  return {
    hsm,
    control,
    counted: (word) =>
      existsSync(counts)
        ? readFileSync(counts, "utf8")
            .split("\n")
            .filter((line) => line === word).length
        : 0,
    async open(more = {}) {
      const device = await openSoftHsm(hsm, "t", { module: library, environment, ...more });
      t.after(() => device.close());
      return device;
    },
  };
}
