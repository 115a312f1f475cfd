/** The contract's facets over the vendor host's operations. */
import {
  USAGES,
  type AgreeFacet,
  type CipherFacet,
  type DataKeysFacet,
  type DeviceObject,
  type KeyRef,
  type KeySpec,
  type KeysFacet,
  type MacFacet,
  type NewKey,
  type ObjectsFacet,
  type SignFacet,
  type Usage,
  type WrapFacet,
} from "@casemate/devices/contract";
import { CasemateError } from "@casemate/foundation/errors";
import { LIMITS } from "@casemate/protocols/hsm";
import { toHex } from "@casemate/foundation/bytes";
import type { Connection } from "./connection.ts";
import type { TimeLimits } from "./connection-options.ts";
import { encodeExpecting } from "./key-ref.ts";
import { sendMany, tooLarge } from "./many.ts";
import { createTogether } from "./together.ts";
import type { ReplyOf } from "./wire.ts";

const NOTHING = new Uint8Array();
const MAX_LABEL = 255;

function checkRef(ref: KeyRef): void {
  if (ref.length <= LIMITS.ref) return;
  throw new CasemateError("NOT_FOUND", `${ref.length} bytes are no key reference of this device`);
}

const newKey = ({ ref, publicKey }: ReplyOf<"generate">): NewKey => ({
  ref: ref.slice(),
  ...(publicKey === undefined ? {} : { publicKey: publicKey.slice() }),
});

function wireSpec({ algorithm, usages, exportable, label = "" }: KeySpec) {
  if (label.length > MAX_LABEL) throw new CasemateError("BAD_REQUEST", `a label has at most ${MAX_LABEL} characters`);
  const flags = Object.fromEntries(USAGES.map((usage) => [usage, usages.includes(usage)])) as Record<Usage, boolean>;
  return { algorithm, usages: flags, exportable, label };
}

export function keysFacet(connection: Connection, limits: TimeLimits): KeysFacet {
  /** Made once for each reference of a catalogue. */
  const expecting = new WeakMap<KeyRef, KeyRef>();
  return {
    expecting(ref, publicKey) {
      let made = expecting.get(ref);
      if (made === undefined) expecting.set(ref, (made = encodeExpecting(ref, publicKey)));
      return made;
    },
    generate: async (spec) =>
      newKey(
        await connection.making((id) => connection.call("generate", { id, ...wireSpec(spec) }, limits.generateMs)),
      ),
    async publicKey(ref) {
      checkRef(ref);
      return (await connection.call("publicKey", { ref })).bytes.slice();
    },
    async destroy(ref) {
      checkRef(ref);
      // No thread may use a handle that could mean another object the moment after.
      await connection.tellOthers("forget", { ref, gone: true });
      try {
        await connection.call("destroy", { ref }, undefined, 0);
      } finally {
        await connection.tellOthers("forget", { ref, gone: false }).catch(() => undefined);
      }
    },
  };
}

export function signFacet(connection: Connection): SignFacet {
  const signing = createTogether<Uint8Array, Uint8Array>({
    lanes: () => connection.lanesForQuick,
    always: () => connection.software,
  });
  return {
    async sign(ref, scheme, kind, inputs) {
      checkRef(ref);
      const [only] = inputs;
      if (inputs.length === 1 && only !== undefined && only.length <= LIMITS.data)
        return signing.one(`${scheme} ${kind} `, ref, only, only.length, (items) =>
          connection.call("sign", { ref, scheme, kind, inputs: items }),
        );
      return sendMany({
        items: inputs,
        lanes: connection.threads,
        refuse: (input) => tooLarge("an input", input.length, LIMITS.data),
        size: (input) => input.length,
        send: (items) => connection.call("sign", { ref, scheme, kind, inputs: items }),
      });
    },
    async verify(ref, scheme, kind, pairs) {
      checkRef(ref);
      return sendMany<(typeof pairs)[number], boolean>({
        items: pairs,
        lanes: connection.threads,
        refuse: ({ input, signature }) =>
          tooLarge("an input", input.length, LIMITS.data) ?? (signature.length > LIMITS.signature ? false : undefined),
        size: ({ input, signature }) => input.length + signature.length,
        send: (items) => connection.call("verify", { ref, scheme, kind, items }),
      });
    },
  };
}

export function cipherFacet(connection: Connection): CipherFacet {
  const badIv = (iv: Uint8Array): CasemateError | undefined =>
    iv.length <= LIMITS.iv
      ? undefined
      : new CasemateError("BAD_REQUEST", `an iv of ${iv.length} bytes, at most ${LIMITS.iv} allowed`);
  return {
    async encrypt(ref, scheme, items) {
      checkRef(ref);
      return sendMany({
        items: items.map(({ data, context = NOTHING, iv = NOTHING }) => ({ data, context, iv })),
        lanes: connection.threads,
        refuse: ({ data, context, iv }) =>
          tooLarge("data", data.length, LIMITS.data) ??
          tooLarge("a context", context.length, LIMITS.context) ??
          badIv(iv),
        size: ({ data, context }) => data.length + context.length,
        send: (plain) => connection.call("encrypt", { ref, scheme, items: plain }),
      });
    },
    async decrypt(ref, scheme, items) {
      checkRef(ref);
      return sendMany({
        items: items.map(({ data, context = NOTHING }) => ({ data, context })),
        lanes: connection.threads,
        refuse: ({ data, context }) =>
          tooLarge("data", data.length, LIMITS.data + LIMITS.overhead) ??
          tooLarge("a context", context.length, LIMITS.context),
        size: ({ data, context }) => data.length + context.length,
        send: (sealed) => connection.call("decrypt", { ref, scheme, items: sealed }),
      });
    },
  };
}

export function macFacet(connection: Connection): MacFacet {
  return {
    async mac(ref, scheme, inputs) {
      checkRef(ref);
      return sendMany({
        items: inputs,
        lanes: connection.threads,
        refuse: (input) => tooLarge("an input", input.length, LIMITS.data),
        size: (input) => input.length,
        send: (items) => connection.call("mac", { ref, scheme, inputs: items }),
      });
    },
    async check(ref, scheme, pairs) {
      checkRef(ref);
      return sendMany<(typeof pairs)[number], boolean>({
        items: pairs,
        lanes: connection.threads,
        refuse: ({ input, mac }) =>
          tooLarge("an input", input.length, LIMITS.data) ?? (mac.length > LIMITS.mac ? false : undefined),
        size: ({ input, mac }) => input.length + mac.length,
        send: (items) => connection.call("checkMac", { ref, scheme, items }),
      });
    },
  };
}

export function agreeFacet(connection: Connection): AgreeFacet {
  return {
    async agree(ref, peer) {
      checkRef(ref);
      if (peer.length > LIMITS.publicKey)
        throw new CasemateError("BAD_REQUEST", `${peer.length} bytes are no public key on the curve of this key`);
      return (await connection.call("agree", { ref, peer })).bytes.slice();
    },
  };
}

export function wrapFacet(connection: Connection): WrapFacet {
  return {
    async export(wrapping, scheme, target) {
      checkRef(wrapping);
      checkRef(target);
      return (await connection.call("exportKey", { wrapping, scheme, target })).bytes.slice();
    },
    async import(wrapping, scheme, wrapped, spec) {
      checkRef(wrapping);
      const problem = tooLarge("a wrapped key", wrapped.length, LIMITS.wrapped);
      if (problem !== undefined) throw problem;
      return newKey(
        await connection.making((id) =>
          connection.call("importKey", { wrapping, scheme, wrapped, id, ...wireSpec(spec) }),
        ),
      );
    },
  };
}

/** Data keys per request: so that none keeps a thread for long. */
const DATA_KEYS_AT_ONCE = 256;

export function dataKeysFacet(connection: Connection): DataKeysFacet {
  return {
    async generate(ref, { count, bytes, plaintext, context = NOTHING }) {
      checkRef(ref);
      if (!Number.isInteger(count) || count < 1) throw new CasemateError("BAD_REQUEST", "at least one data key");
      const problem = tooLarge("a context", context.length, LIMITS.context);
      if (problem !== undefined) throw problem;
      const keys: { readonly wrapped: Uint8Array; readonly plaintext?: Uint8Array }[] = [];
      for (let left = count; left > 0; left -= DATA_KEYS_AT_ONCE) {
        const part = Math.min(left, DATA_KEYS_AT_ONCE);
        // oxlint-disable-next-line no-await-in-loop -- one frame after another bounds the memory of both sides
        const made = await connection.call("dataKeys", { ref, count: part, bytes, plaintext, context });
        for (const key of made)
          keys.push({
            wrapped: key.wrapped.slice(),
            ...(key.plaintext === undefined ? {} : { plaintext: key.plaintext.slice() }),
          });
      }
      return keys;
    },
  };
}

export function objectsFacet(connection: Connection, limits: TimeLimits): ObjectsFacet {
  return {
    async list() {
      const found: DeviceObject[] = [];
      for (let skip = 0; ;) {
        // oxlint-disable-next-line no-await-in-loop -- one page after another
        const page = await connection.call("list", { skip }, limits.connectMs, 0);
        for (const { ref, label, id, algorithm, usages, publicKey } of page.objects)
          found.push({
            ref: ref.slice(),
            label,
            id: toHex(id),
            algorithm,
            usages: USAGES.filter((usage) => usages[usage]),
            ...(publicKey === undefined ? {} : { publicKey: publicKey.slice() }),
          });
        if (page.next <= skip) return found;
        skip = page.next;
      }
    },
  };
}
