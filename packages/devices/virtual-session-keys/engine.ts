/** The far end of the wire: decodes a request, runs it on the keys of this process, encodes the answer. */
import type { KeyObject } from "node:crypto";
import { decode, encode, type Codec } from "@casemate/foundation/codec";
import { systemRandom, type Random } from "@casemate/foundation/effects";
import type { EcDigestCalls } from "@casemate/foundation/ffi";
import { SecretBytes } from "@casemate/foundation/secrets";
import {
  LIMITS,
  OPERATIONS,
  type Grants,
  type OperationName,
  type ReplyOf,
  type RequestOf,
  type SecretType,
} from "@casemate/protocols/session-keys";
import { derive, digest } from "./derive.ts";
import { KeyStore, type HeldSecret } from "./key-store.ts";
import * as pairs from "./private-keys.ts";
import { refuse } from "./refuse.ts";
import * as secrets from "./secrets.ts";
import { mustBeExtractable, seal, unwrapped, withValue, wrap, wrapFor } from "./wrap.ts";

export interface EngineOptions {
  /** ECDSA over digests by OpenSSL; without it there is no ECDSA. */
  readonly ecDigest?: EcDigestCalls;
  /** Called when a private key was dropped: OpenSSL frees it when it is collected. */
  readonly dropped?: () => void;
  readonly random?: Random;
  /** For tests. */
  readonly most?: number;
}

export interface Engine {
  /** Answers one request. Throws or rejects with a CasemateError and nothing else for any input. */
  handle(op: number, body: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

type Handlers = { readonly [N in OperationName]: (request: RequestOf<N>) => ReplyOf<N> | Promise<ReplyOf<N>> };

/** No more than the former grants. */
const narrowed = (before: Grants, { readable, extractable }: Grants): Grants => ({
  readable: before.readable && readable,
  extractable: before.extractable && extractable,
});

export function createEngine(options: EngineOptions = {}): Engine {
  const random = options.random ?? systemRandom;
  const store = new KeyStore(random, options.most ?? LIMITS.keys, options.dropped ?? (() => undefined));

  /** Takes `value` over. */
  const addSecret = (type: SecretType, value: Uint8Array, grants: Grants): ReplyOf<"generateSecret"> => {
    secrets.checkSize(type, value.length);
    const key: HeldSecret = { kind: "secret", type, value: new SecretBytes(value), grants: narrowed(grants, grants) };
    const check = Uint8Array.from(secrets.checkValue(key));
    return { id: store.add(key), length: value.length, check };
  };
  const addPrivate = (key: KeyObject, grants: Grants): ReplyOf<"generateRsa"> => {
    const publicKey = pairs.spkiOf(key);
    return { id: store.add({ kind: "private", key, grants: narrowed(grants, grants) }), publicKey };
  };

  const handlers: Handlers = {
    status: () => ({ keys: store.size, most: store.most }),
    generateSecret: (request) => {
      secrets.checkSize(request.type, request.length);
      return addSecret(request.type, random.bytes(request.length), request);
    },
    generateRsa: async (request) => addPrivate(await store.reserve(() => pairs.generateRsa(request)), request),
    generateCurve: async (request) =>
      addPrivate(await store.reserve(() => pairs.generateOnCurve(request.curve)), request),
    importSecret: (request) => {
      const value = Uint8Array.from(request.value);
      request.value.fill(0);
      return addSecret(request.type, value, request);
    },
    importRsa: (request) => addPrivate(pairs.readRsa(request), request),
    importCurve: (request) => addPrivate(pairs.readOnCurve(request), request),
    importPkcs8: (request) => addPrivate(pairs.readPkcs8(request.pkcs8), request),
    copy: (request) => {
      const key = store.get(request.id);
      const grants = narrowed(key.grants, request);
      if (key.kind === "private") return { id: store.add({ kind: "private", key: key.key, grants }) };
      return { id: store.add({ ...key, value: new SecretBytes(Uint8Array.from(key.value.reveal())), grants }) };
    },
    restrict: (request) => {
      const key = store.get(request.id);
      key.grants = narrowed(key.grants, request);
      return {};
    },
    forget: ({ ids }) => {
      for (const id of ids) store.forget(id);
      return {};
    },
    read: ({ id }) => {
      const key = store.get(id);
      if (!key.grants.readable) throw refuse("NOT_EXPORTABLE", "this session key is sensitive or not extractable");
      return key.kind === "secret" ? [{ part: "value", bytes: key.value.reveal() }] : pairs.partsOf(key.key);
    },
    plaintext: ({ id }) => {
      const key = store.get(id);
      mustBeExtractable(key);
      return { bytes: withValue(key, (value) => Uint8Array.from(value)) };
    },
    sign: (request) => ({ bytes: pairs.sign(store.private(request.id), request, options.ecDigest) }),
    mac: (request) => ({ bytes: secrets.makeMac(store, request) }),
    checkMac: (request) => ({ valid: secrets.checkMac(store, request) }),
    decrypt: (request) => ({ bytes: pairs.decrypt(store.private(request.id), request) }),
    cipher: (request) => ({ bytes: secrets.cipher(store, request) }),
    gcm: (request) => ({ bytes: secrets.gcm(store, request) }),
    agree: ({ id, peer }) =>
      addSecret("generic", pairs.agree(store.private(id), peer), { readable: false, extractable: false }),
    derive: (request) => {
      const secret = store.secret(request.id, "generic", "aes", "des");
      return addSecret(request.type, derive(secret.value.reveal(), request), request);
    },
    wrap: ({ id, how, target }) => ({ bytes: wrap(store, id, how, target) }),
    wrapFor: ({ publicKey, padding, target }) => ({ bytes: wrapFor(store.get(target), publicKey, padding) }),
    seal: ({ publicKey, target }) => ({ bytes: seal(store.get(target), publicKey, random) }),
    unwrapSecret: (request) => {
      const plain = unwrapped(store, request.id, request.how, request.wrapped);
      if (request.length > plain.length)
        throw refuse("CONFLICT", `${request.length} bytes are asked, ${plain.length} come out`);
      const value = Uint8Array.from(request.length === 0 ? plain : plain.subarray(0, request.length));
      plain.fill(0);
      return addSecret(request.type, value, request);
    },
    unwrapPrivate: (request) => {
      const plain = unwrapped(store, request.id, request.how, request.wrapped);
      try {
        return addPrivate(pairs.readPkcs8(plain), request);
      } catch {
        throw refuse("DECRYPT_FAILED", "what was unwrapped is no private key");
      } finally {
        plain.fill(0);
      }
    },
    digest: (request) => ({ bytes: digest(store, request) }),
  };

  const rows = new Map(
    (Object.keys(OPERATIONS) as OperationName[]).map((name) => {
      const { op, request, reply } = OPERATIONS[name];
      const run = handlers[name] as (request: unknown) => unknown;
      return [op, { request: request as Codec<unknown>, reply: reply as Codec<unknown>, run }];
    }),
  );

  return {
    handle(op, body) {
      const row = rows.get(op);
      if (row === undefined) throw refuse("NOT_SUPPORTED", `session keys have no operation ${op}`);
      const answer = row.run(decode(row.request, body));
      if (answer instanceof Promise) return answer.then((reply) => encode(row.reply, reply));
      return encode(row.reply, answer);
    },
  };
}
