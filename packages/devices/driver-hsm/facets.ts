/** The contract's facets over the wire of protocols/hsm. */
import type {
  AgreeFacet,
  CipherFacet,
  DataKeysFacet,
  KemFacet,
  KeyRef,
  KeySpec,
  KeysFacet,
  MacFacet,
  Many,
  NewKey,
  SignFacet,
  UnlockFacet,
  WrapFacet,
} from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { LIMITS, usageFlags, type ReplyOf } from "@casemate/protocols/hsm";
import type { Call } from "./calls.ts";
import { createCoalescer, type Coalescer } from "./coalesce.ts";
import { sendMany, tooLarge, type ItemRules } from "./many.ts";

const NOTHING = new Uint8Array();

const notOurs = (ref: KeyRef): CasemateError =>
  new CasemateError("NOT_FOUND", `${ref.length} bytes are no key reference of this device`);

export function checkRef(ref: KeyRef): void {
  if (ref.length > LIMITS.ref) throw notOurs(ref);
}

const newKey = ({ ref, publicKey }: ReplyOf<"generate">): NewKey => ({
  ref: ref.slice(),
  ...(publicKey === undefined ? {} : { publicKey: publicKey.slice() }),
});

const wireSpec = ({ algorithm, usages, exportable }: KeySpec) => ({
  algorithm,
  usages: usageFlags(usages),
  exportable,
});

export function keysFacet(call: Call): KeysFacet {
  return {
    generate: async (spec) => newKey(await call("generate", wireSpec(spec))),
    async publicKey(ref) {
      checkRef(ref);
      return (await call("publicKey", { ref })).bytes;
    },
    async destroy(ref) {
      checkRef(ref);
      await call("destroy", { ref });
    },
  };
}

/** A single item goes through the coalescer, more go as their own batch. */
function through<I, R>(
  coalescer: Coalescer<I, R>,
  rules: ItemRules<I, R>,
  group: string,
  ref: KeyRef,
  items: readonly I[],
  send: (items: I[]) => Promise<Many<R>>,
): Promise<Many<R>> {
  if (ref.length > LIMITS.ref) return Promise.reject(notOurs(ref));
  const [only] = items;
  if (items.length !== 1 || only === undefined) return sendMany(rules, items, send);
  const refused = rules.refuse(only);
  if (refused !== undefined) return Promise.resolve([refused]);
  return coalescer.one(group, ref, only, rules.size(only), send);
}

const inputRules: ItemRules<Uint8Array, Uint8Array> = {
  refuse: (input) => tooLarge("an input", input.length, LIMITS.data),
  size: (input) => input.length,
};

export function signFacet(call: Call): SignFacet {
  interface Signed {
    readonly input: Uint8Array;
    readonly signature: Uint8Array;
  }
  const signing = createCoalescer<Uint8Array, Uint8Array>();
  const verifying = createCoalescer<Signed, boolean>();
  const signedRules: ItemRules<Signed, boolean> = {
    refuse: ({ input, signature }) =>
      tooLarge("an input", input.length, LIMITS.data) ?? (signature.length > LIMITS.signature ? false : undefined),
    size: ({ input, signature }) => input.length + signature.length,
  };
  return {
    sign: (ref, scheme, kind, inputs) =>
      through(signing, inputRules, `${scheme} ${kind} `, ref, inputs, (items) =>
        call("sign", { ref, scheme, kind, inputs: items }),
      ),
    verify: (ref, scheme, kind, pairs) =>
      through(verifying, signedRules, `${scheme} ${kind} `, ref, pairs, (items) =>
        call("verify", { ref, scheme, kind, items }),
      ),
  };
}

export function cipherFacet(call: Call): CipherFacet {
  interface Plain {
    readonly data: Uint8Array;
    readonly context: Uint8Array;
    readonly iv: Uint8Array;
  }
  interface Sealed {
    readonly data: Uint8Array;
    readonly context: Uint8Array;
  }
  const encrypting = createCoalescer<Plain, Uint8Array>();
  const decrypting = createCoalescer<Sealed, Uint8Array>();
  const badIv = (iv: Uint8Array): CasemateError | undefined =>
    iv.length <= LIMITS.iv
      ? undefined
      : new CasemateError("BAD_REQUEST", `an iv of ${iv.length} bytes, at most ${LIMITS.iv} allowed`);
  const plainRules: ItemRules<Plain, Uint8Array> = {
    refuse: ({ data, context, iv }) =>
      tooLarge("data", data.length, LIMITS.data) ?? tooLarge("a context", context.length, LIMITS.context) ?? badIv(iv),
    size: ({ data, context }) => data.length + context.length,
  };
  const sealedRules: ItemRules<Sealed, Uint8Array> = {
    refuse: ({ data, context }) =>
      tooLarge("data", data.length, LIMITS.data + LIMITS.overhead) ??
      tooLarge("a context", context.length, LIMITS.context),
    size: ({ data, context }) => data.length + context.length,
  };
  return {
    encrypt: (ref, scheme, items) => {
      const plain = items.map(({ data, context = NOTHING, iv = NOTHING }) => ({ data, context, iv }));
      return through(encrypting, plainRules, `${scheme} `, ref, plain, (part) =>
        call("encrypt", { ref, scheme, items: part }),
      );
    },
    decrypt: (ref, scheme, items) => {
      const sealed = items.map(({ data, context = NOTHING }) => ({ data, context }));
      return through(decrypting, sealedRules, `${scheme} `, ref, sealed, (part) =>
        call("decrypt", { ref, scheme, items: part }),
      );
    },
  };
}

export function macFacet(call: Call): MacFacet {
  interface Coded {
    readonly input: Uint8Array;
    readonly mac: Uint8Array;
  }
  const making = createCoalescer<Uint8Array, Uint8Array>();
  const checking = createCoalescer<Coded, boolean>();
  const codedRules: ItemRules<Coded, boolean> = {
    refuse: ({ input, mac }) =>
      tooLarge("an input", input.length, LIMITS.data) ?? (mac.length > LIMITS.mac ? false : undefined),
    size: ({ input, mac }) => input.length + mac.length,
  };
  return {
    mac: (ref, scheme, inputs) =>
      through(making, inputRules, `${scheme} `, ref, inputs, (items) => call("mac", { ref, scheme, inputs: items })),
    check: (ref, scheme, pairs) =>
      through(checking, codedRules, `${scheme} `, ref, pairs, (items) => call("checkMac", { ref, scheme, items })),
  };
}

export function agreeFacet(call: Call): AgreeFacet {
  return {
    async agree(ref, peer) {
      checkRef(ref);
      if (peer.length > LIMITS.publicKey)
        throw new CasemateError("BAD_REQUEST", `${peer.length} bytes are no public key on the curve of this key`);
      return (await call("agree", { ref, peer })).bytes;
    },
  };
}

export function kemFacet(call: Call): KemFacet {
  return {
    async encapsulate(ref) {
      checkRef(ref);
      return call("encapsulate", { ref });
    },
    async decapsulate(ref, ciphertext) {
      checkRef(ref);
      if (ciphertext.length > LIMITS.kemCiphertext)
        throw new CasemateError("BAD_REQUEST", `${ciphertext.length} bytes are no ciphertext of this key`);
      return (await call("decapsulate", { ref, ciphertext })).bytes;
    },
  };
}

export function wrapFacet(call: Call): WrapFacet {
  return {
    async export(wrapping, scheme, target) {
      checkRef(wrapping);
      checkRef(target);
      return (await call("exportKey", { wrapping, scheme, target })).bytes;
    },
    async import(wrapping, scheme, wrapped, spec) {
      checkRef(wrapping);
      const problem = tooLarge("a wrapped key", wrapped.length, LIMITS.wrapped);
      if (problem !== undefined) throw problem;
      return newKey(await call("importKey", { wrapping, scheme, wrapped, ...wireSpec(spec) }));
    },
  };
}

export function dataKeysFacet(call: Call): DataKeysFacet {
  return {
    async generate(ref, { count, bytes, plaintext, context = NOTHING }) {
      checkRef(ref);
      if (!Number.isInteger(count) || count < 1) throw new CasemateError("BAD_REQUEST", "at least one data key");
      const problem = tooLarge("a context", context.length, LIMITS.context);
      if (problem !== undefined) throw problem;
      const keys: { readonly wrapped: Uint8Array; readonly plaintext?: Uint8Array }[] = [];
      for (let left = count; left > 0; left -= LIMITS.dataKeys) {
        const part = Math.min(left, LIMITS.dataKeys);
        // oxlint-disable-next-line no-await-in-loop -- one frame after another bounds the memory of both sides
        const made = await call("dataKeys", { ref, count: part, bytes, plaintext, context });
        for (const key of made)
          keys.push({ wrapped: key.wrapped, ...(key.plaintext === undefined ? {} : { plaintext: key.plaintext }) });
      }
      return keys;
    },
  };
}

export function unlockFacet(call: Call): UnlockFacet {
  return {
    challenge: () => call("challenge", {}),
    async unlock(sealed) {
      if (sealed.length > LIMITS.unlock)
        throw new CasemateError("BAD_REQUEST", `${sealed.length} bytes are no unlock message`);
      await call("unlock", { sealed });
    },
    async lock() {
      await call("lock", {});
    },
  };
}
