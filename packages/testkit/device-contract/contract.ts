/** One suite for every driver: what each facet does for each algorithm, and which error code each failure gives. */
import { after, before, describe, test } from "node:test";
import type { Device } from "@casemate/devices/contract";
import { cipherCases } from "./cipher.ts";
import { Bench, type Case } from "./bench.ts";
import { exchangeCases } from "./exchange.ts";
import { keyCases } from "./keys.ts";
import { macCases } from "./mac.ts";
import { signCases } from "./sign.ts";
import { witnessCases } from "./witness.ts";
import { wrapCases } from "./wrap.ts";

export interface ContractSkip {
  /** Names of cases, or their beginnings: `sign ed448`, `wrap`. */
  readonly cases: readonly string[];
  /** Why the device cannot do it: printed with every skipped case. */
  readonly reason: string;
}

export interface ContractOptions {
  readonly name: string;
  /** A device ready for use. Called once; the suite closes it. */
  open(): Promise<Device>;
  /** Another device of the same kind, whose references must be foreign to the first. */
  readonly openOther?: () => Promise<Device>;
  readonly skip?: readonly ContractSkip[];
}

const GROUPS: readonly (readonly Case[])[] = [
  keyCases,
  signCases,
  cipherCases,
  macCases,
  exchangeCases,
  wrapCases,
  witnessCases,
];

/** Declares the suite. A device without a facet passes its cases by having none; a skipped case names its reason. */
export function deviceContract(options: ContractOptions): void {
  const skips = options.skip ?? [];
  for (const { reason } of skips) if (reason.length < 10) throw new TypeError("a skip needs a written reason");
  const reasonFor = (name: string): string | false =>
    skips.find(({ cases }) => cases.some((prefix) => name === prefix || name.startsWith(`${prefix} `)))?.reason ??
    false;

  describe(`device contract: ${options.name}`, () => {
    const bench = new Bench();
    before(async () => {
      bench.device = await options.open();
      if (options.openOther !== undefined) bench.other = await options.openOther();
    });
    after(async () => {
      await bench.close();
    });
    for (const one of GROUPS.flat()) {
      test(one.name, { skip: reasonFor(one.name) }, async (t) => {
        const reason = await one.run(bench);
        if (typeof reason === "string") t.skip(reason);
      });
    }
  });
}
