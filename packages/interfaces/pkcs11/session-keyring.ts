// Session keys: what an application makes up, derives or unwraps for itself. A process of their own holds them; policy and audit see every step.
import { createPublicKey, type KeyObject } from "node:crypto";
import { concat } from "@casemate/foundation/bytes";
import { isCasemateError, type ErrorCode } from "@casemate/foundation/errors";
import type { Caller, Keyring, SessionKeyAction } from "@casemate/keyring/core";
import { CKA } from "@casemate/protocols/p11-rpc";
import {
  LIMITS,
  type Grants,
  type OperationName,
  type ReplyOf,
  type RequestOf,
  type SecretType,
} from "@casemate/protocols/session-keys";
import { curveByNode, curveOfKey } from "./curves.ts";
import { modulusBits } from "./rsa.ts";
import { failure } from "./status.ts";
import type { Template } from "./values.ts";

/** The process that holds session keys, started with the first one; given by the composition root. */
export interface SessionKeyVault {
  /** @throws NOT_FOUND for a key that went with its process, DEVICE_RESTARTED for what was under way then. */
  call<N extends OperationName>(name: N, request: RequestOf<N>): Promise<ReplyOf<N>>;
  /** Called when the process ended and took its keys with it. */
  onLost(listener: () => void): void;
}

interface Held {
  readonly id: Uint8Array;
  /** By which the audit log tells session keys apart. */
  readonly number: number;
  readonly algorithm: string;
  /** Who was logged in when its making began; undefined for nobody. */
  readonly madeFor: Caller | undefined;
}
export interface SessionSecret extends Held {
  readonly type: SecretType;
  readonly length: number;
  readonly check: Uint8Array;
}
export interface SessionPrivate extends Held {
  readonly public: KeyObject;
  readonly spki: Uint8Array;
}
export type SessionKey = SessionSecret | SessionPrivate;

type SecretMaking = "generateSecret" | "importSecret" | "derive" | "unwrapSecret";
type PrivateMaking = "generateRsa" | "generateCurve" | "importRsa" | "importCurve" | "importPkcs8" | "unwrapPrivate";
type Making = SecretMaking | PrivateMaking;
type Made<N> = N extends SecretMaking ? SessionSecret : SessionPrivate;

/** What is done and how, for the audit log. */
export type Details = Readonly<Record<string, string | number | boolean>>;

/** Where a new key goes: to its application, or through here into a device, whose import is what policy and audit see then. */
export interface Destination {
  readonly caller: Caller | undefined;
  readonly device: boolean;
}

/** Wraps a key's value for the device with this import key. */
export type Seal = (publicKey: Uint8Array) => Promise<Uint8Array>;

/** What a template lets out of the process that holds the key. */
export function grantsOf(attributes: Template): Grants {
  const extractable = attributes.get(CKA.EXTRACTABLE) === true;
  return { extractable, readable: extractable && attributes.get(CKA.SENSITIVE) === false };
}

type Rv = Parameters<typeof failure>[0];
type Names = Readonly<Partial<Record<ErrorCode, Rv>>>;

/** What is said of a key that went with its process. */
const GONE: Names = { NOT_FOUND: "KEY_HANDLE_INVALID" };
const OBJECT_GONE: Names = { NOT_FOUND: "OBJECT_HANDLE_INVALID" };

/** Turns the codes of a refusal into what the standard has for them here. */
export async function named<T>(work: Promise<T>, names: Names): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const rv = isCasemateError(error) ? names[error.code] : undefined;
    throw rv === undefined ? error : failure(rv, (error as Error).message);
  }
}

function nameOfPrivate(key: KeyObject): string {
  return curveOfKey(key)?.algorithm ?? `rsa-${modulusBits(key)}`;
}

/** What requests that make keys say of them, each some of it. */
interface Asked {
  readonly type?: SecretType;
  readonly length?: number;
  readonly value?: Uint8Array;
  readonly curve?: string;
  readonly bits?: number;
  readonly n?: Uint8Array;
}

/** The algorithm of a key that is to be made, as far as the request tells; what is unwrapped tells it later. */
function aboutNew(request: unknown): Details {
  const { type, length, value, bits, n, curve } = request as Asked;
  const size = length ?? value?.length ?? 0;
  if (type !== undefined) return { algorithm: size === 0 ? type : `${type}-${size * 8}` };
  if (curve !== undefined) return { algorithm: curveByNode(curve)?.algorithm ?? curve };
  const modulus = bits ?? (n === undefined ? undefined : n.length * 8);
  return modulus === undefined ? {} : { algorithm: `rsa-${modulus}` };
}

function madeOf(number: number, madeFor: Caller | undefined, request: unknown, reply: ReplyOf<Making>): SessionKey {
  const held = { id: reply.id.slice(), number, madeFor };
  if ("publicKey" in reply) {
    const spki = reply.publicKey.slice();
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    return { ...held, algorithm: nameOfPrivate(key), public: key, spki };
  }
  const { type } = request as { readonly type: SecretType };
  const { length } = reply;
  return { ...held, algorithm: `${type}-${length * 8}`, type, length, check: reply.check.slice() };
}

export class SessionKeyring {
  readonly #vault: SessionKeyVault;
  readonly #keyring: Keyring;
  readonly #service: () => Promise<Caller | undefined>;
  #last = 0;
  #forgotten: Uint8Array[] = [];

  constructor(vault: SessionKeyVault, keyring: Keyring, service: () => Promise<Caller | undefined>) {
    this.#vault = vault;
    this.#keyring = keyring;
    this.#service = service;
  }

  onLost(listener: () => void): void {
    this.#vault.onLost(listener);
  }

  /** @param caller undefined before a login: then the interface itself. @throws CKR_USER_NOT_LOGGED_IN, FORBIDDEN. */
  async #guarded<T>(
    caller: Caller | undefined,
    action: SessionKeyAction,
    number: number,
    details: Details,
    work: () => Promise<T>,
  ): Promise<T> {
    const who = caller ?? (await this.#service());
    if (who === undefined) throw failure("USER_NOT_LOGGED_IN");
    return this.#keyring.sessionKey(who, action, { number, details }, work);
  }

  #using<T>(caller: Caller | undefined, key: SessionKey, details: Details, work: () => Promise<T>): Promise<T> {
    const all = { algorithm: key.algorithm, ...details };
    return named(this.#guarded(caller, "session-key.use", key.number, all, work), GONE);
  }

  async #made<N extends Making>(to: Destination, name: N, request: RequestOf<N>, details: Details): Promise<Made<N>> {
    const call = (): Promise<ReplyOf<Making>> => this.#vault.call(name, request) as Promise<ReplyOf<Making>>;
    const number = to.device ? 0 : ++this.#last;
    const all = { ...aboutNew(request), ...details };
    const reply = to.device ? await call() : await this.#recorded(to.caller, number, all, call);
    return madeOf(number, to.caller, request, reply) as Made<N>;
  }

  /** Makes a key under policy and audit. One whose making could not be recorded is ended. */
  async #recorded<R extends { readonly id: Uint8Array }>(
    caller: Caller | undefined,
    number: number,
    details: Details,
    make: () => Promise<R>,
  ): Promise<R> {
    let made: R | undefined;
    const work = async (): Promise<R> => (made = await make());
    try {
      return await this.#guarded(caller, "session-key.create", number, details, work);
    } catch (error) {
      if (made !== undefined) this.#forgetLater(made.id.slice());
      throw error;
    }
  }

  /** A new key. @throws FORBIDDEN and what the process refuses. */
  make<N extends Making>(to: Destination, name: N, request: RequestOf<N>, details: Details): Promise<Made<N>> {
    return named(this.#made(to, name, request, details), GONE);
  }

  /** As `#recorded`: when the use cannot be recorded, what it made is ended. */
  async #usingToMake<K extends SessionKey>(
    { caller }: Destination,
    base: SessionKey,
    details: Details,
    make: () => Promise<K>,
  ): Promise<K> {
    let made: K | undefined;
    try {
      return await this.#using(caller, base, details, async () => (made = await make()));
    } catch (error) {
      if (made !== undefined) this.forget(made);
      throw error;
    }
  }

  /** A new key by the use of another one. */
  makeFrom<N extends Making>(
    to: Destination,
    base: SessionKey,
    name: N,
    request: RequestOf<N>,
    details: Details,
  ): Promise<Made<N>> {
    return this.#usingToMake(to, base, details, () => this.#made(to, name, request, details));
  }

  /** A new secret from what ECDH gives. */
  agree(
    to: Destination,
    base: SessionPrivate,
    peer: Uint8Array,
    request: Omit<RequestOf<"derive">, "id">,
    details: Details,
  ): Promise<SessionSecret> {
    return this.#usingToMake(to, base, details, async () => {
      const { id } = await this.#vault.call("agree", { id: base.id, peer });
      return this.#derivedOnce(to, id.slice(), request, details);
    });
  }

  /** A new secret from a value that a device made; the value is wiped. */
  async deriveFrom(
    to: Destination,
    value: Uint8Array,
    request: Omit<RequestOf<"derive">, "id">,
    details: Details,
  ): Promise<SessionSecret> {
    const passing = { type: "generic", value, readable: false, extractable: false } as const;
    const { id } = await this.#vault.call("importSecret", passing);
    value.fill(0);
    return named(this.#derivedOnce(to, id.slice(), request, details), GONE);
  }

  async #derivedOnce(
    to: Destination,
    id: Uint8Array,
    request: Omit<RequestOf<"derive">, "id">,
    details: Details,
  ): Promise<SessionSecret> {
    try {
      return await this.#made(to, "derive", { id, ...request }, details);
    } finally {
      this.#forgetLater(id);
    }
  }

  /** One operation with a session key. @throws CKR_DATA_LEN_RANGE for an input that is too long for one. */
  use<N extends OperationName>(
    caller: Caller | undefined,
    key: SessionKey,
    details: Details,
    name: N,
    request: RequestOf<N>,
  ): Promise<ReplyOf<N>> {
    const { input } = request as { readonly input?: Uint8Array };
    if (input !== undefined && input.length > LIMITS.data) throw failure("DATA_LEN_RANGE");
    return this.#using(caller, key, details, () => this.#vault.call(name, request));
  }

  /** Whether the key's value may go into a digest, which `digest` makes later. @throws FORBIDDEN. */
  async mayDigest(caller: Caller | undefined, key: SessionSecret, hash: string): Promise<void> {
    await this.#using(caller, key, { operation: "digest", mechanism: hash }, () => Promise.resolve());
  }

  /** A digest over bytes and over keys that `mayDigest` allowed. */
  async digest(hash: RequestOf<"digest">["hash"], parts: RequestOf<"digest">["parts"]): Promise<Uint8Array> {
    const merged: RequestOf<"digest">["parts"] = [];
    let run: Uint8Array[] = [];
    const flush = (): void => {
      if (run.length > 0) merged.push({ kind: "bytes", bytes: concat(...run) });
      run = [];
    };
    for (const part of parts) {
      if (part.kind === "bytes") run.push(part.bytes);
      else {
        flush();
        merged.push(part);
      }
    }
    flush();
    return (await named(this.#vault.call("digest", { hash, parts: merged }), GONE)).bytes;
  }

  /** For a key on its way into a device. */
  sealer(key: SessionKey): Seal {
    return async (publicKey) => (await this.#vault.call("seal", { publicKey, target: key.id })).bytes;
  }

  /** The values of a key that is neither sensitive nor unextractable; whoever asks wipes them. */
  read(caller: Caller | undefined, key: SessionKey): Promise<ReplyOf<"read">> {
    const details = { algorithm: key.algorithm, operation: "read value" };
    const read = (): Promise<ReplyOf<"read">> => this.#vault.call("read", { id: key.id });
    return named(this.#guarded(caller, "session-key.read", key.number, details, read), OBJECT_GONE);
  }

  /** A copy of its own, so that destroying one leaves the other. */
  async copy<K extends SessionKey>(caller: Caller | undefined, key: K, grants: Grants): Promise<K> {
    const number = ++this.#last;
    const details = { algorithm: key.algorithm, operation: "copy", of: key.number };
    const copy = (): Promise<ReplyOf<"copy">> => this.#vault.call("copy", { id: key.id, ...grants });
    const { id } = await named(this.#recorded(caller, number, details, copy), OBJECT_GONE);
    return { ...key, id: id.slice(), number, madeFor: caller };
  }

  /** Takes grants away. */
  async restrict(key: SessionKey, grants: Grants): Promise<void> {
    await named(this.#vault.call("restrict", { id: key.id, ...grants }), OBJECT_GONE);
  }

  /** Its value is overwritten. */
  forget(key: SessionKey): void {
    this.#forgetLater(key.id);
  }

  #forgetLater(id: Uint8Array): void {
    if (this.#forgotten.push(id) > 1) return;
    setImmediate(() => {
      const all = this.#forgotten;
      this.#forgotten = [];
      for (let at = 0; at < all.length; at += LIMITS.forget) {
        // A process that is gone has forgotten already.
        this.#vault.call("forget", { ids: all.slice(at, at + LIMITS.forget) }).catch(() => undefined);
      }
    });
  }
}
