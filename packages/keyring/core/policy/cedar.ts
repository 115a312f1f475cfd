import { createRequire } from "node:module";
import { CasemateError } from "@casemate/foundation/errors";
import type * as CedarModule from "@cedar-policy/cedar-wasm/nodejs";

export type Cedar = typeof CedarModule;

const ENTRY = "@cedar-policy/cedar-wasm/nodejs";

/** An instance of its own for each caller: what one of them breaks does not break the others. */
function loadInstance(): Cedar {
  const require = createRequire(import.meta.url);
  const path = require.resolve(ENTRY);
  delete require.cache[path];
  return require(path) as Cedar;
}

/** Holds one WebAssembly instance, and replaces it when a trap has left its memory in doubt. */
export class CedarHost {
  #module: Cedar | undefined;
  readonly #prepare: (cedar: Cedar) => void;

  /** `prepare` loads schema and policies into a fresh instance. */
  constructor(prepare: (cedar: Cedar) => void) {
    this.#prepare = prepare;
  }

  /** Runs `work` on the instance. @throws TOO_LARGE when the input exhausts the instance's stack; the next call has a fresh one. */
  use<T>(work: (cedar: Cedar) => T): T {
    const cedar = this.#instance();
    try {
      return work(cedar);
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
      this.#module = undefined;
      throw new CasemateError("TOO_LARGE", "the policy is too complex to evaluate", {
        hint: "Split it into several policies with fewer nested conditions.",
        cause: error,
      });
    }
  }

  #instance(): Cedar {
    if (this.#module === undefined) {
      const cedar = loadInstance();
      this.#prepare(cedar);
      this.#module = cedar;
    }
    return this.#module;
  }
}
