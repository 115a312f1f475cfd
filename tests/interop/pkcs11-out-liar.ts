/** A module in front of SoftHSM that says something else than what it did, and what its tests share. */
import assert from "node:assert/strict";
import { appendFileSync, writeFileSync } from "node:fs";
import type { TestContext } from "node:test";
import type { Device, KeyAlgorithm, NewKey, Usage } from "@casemate/devices/contract";
import type { Pkcs11Options } from "@casemate/devices/driver-pkcs11";
import { SOFTHSM, inFront, missing } from "./pkcs11-out-harness.ts";

export const skipLiar = missing(SOFTHSM, "softhsm2-util", "cc", "pkcs11-tool") ?? false;

/** Places in CK_FUNCTION_LIST. */
const PLACE = {
  getTokenInfo: 6,
  login: 18,
  destroyObject: 22,
  getAttributeValue: 24,
  findObjects: 27,
  decrypt: 34,
  sign: 43,
  generateKey: 58,
  generateKeyPair: 59,
  wrapKey: 60,
  unwrapKey: 61,
  generateRandom: 64,
} as const;
type Mode = "r" | "R" | "K" | "l" | "d";

export interface Liar {
  open(more?: Partial<Pkcs11Options>): Promise<Device>;
  /** What is said of `count` calls of the function, after `skipped` ones; -1: of all. */
  say(call: keyof typeof PLACE, mode: Mode, value?: number, options?: { skipped?: number; count?: number }): void;
  /** The same beside what is said already. */
  also(call: keyof typeof PLACE, mode: Mode, value?: number, options?: { skipped?: number; count?: number }): void;
  truth(): void;
  readonly calls: (call: keyof typeof PLACE) => number;
  /** Keys that other programs see in the token. */
  readonly objects: () => number;
  /** What another program does in it. */
  tool(...args: readonly string[]): string;
}

/** SoftHSM behind a module that says of any function what it is told to. */
export function liar(t: TestContext): Liar {
  const front = inFront(t, "pkcs11-out-liar.c", "LIAR");
  const { hsm, control, counted } = front;
  writeFileSync(control, "");
  const lineOf = (...[call, mode, value = 0, { skipped = 0, count = 1 } = {}]: Parameters<Liar["say"]>): string =>
    `${PLACE[call]} ${mode} ${value.toString(16)} ${skipped} ${count}\n`;
  return {
    say: (...lie) => writeFileSync(control, lineOf(...lie)),
    also: (...lie) => appendFileSync(control, lineOf(...lie)),
    truth: () => writeFileSync(control, ""),
    calls: (call) => counted(String(PLACE[call])),
    tool: (...args) => hsm.tool(...args),
    objects: () => hsm.tool("--list-objects").match(/^(Private|Public|Secret) Key Object/gm)?.length ?? 0,
    open: (more) => front.open(more),
  };
}

export const make = (device: Device, algorithm: KeyAlgorithm, usage: Usage, exportable = false): Promise<NewKey> =>
  device.keys.generate({ algorithm, usages: [usage], exportable });

/** What a device answers for one item. */
export async function one<T>(answers: Promise<readonly T[]> | undefined): Promise<T> {
  const [answer] = (await answers) ?? [];
  assert.ok(answer !== undefined);
  return answer;
}
