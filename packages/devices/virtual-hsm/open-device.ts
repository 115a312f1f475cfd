/** An unlocked device: its keys and everything that needs them. Code outside it cannot reach a key while the device is locked. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import type { CasemateError } from "@casemate/foundation/errors";
import type { Random } from "@casemate/foundation/effects";
import { ALGORITHMS, LIMITS, usageNames, type ReplyOf, type RequestOf } from "@casemate/protocols/hsm";
import { decryptMany, encryptMany } from "./cipher.ts";
import { makeDataKeys } from "./data-keys.ts";
import type { EcSignerFactory, PreparedSignerFactory } from "./digest-signer.ts";
import { agree, decapsulateWith, encapsulateTo } from "./exchange.ts";
import type { LoadedKey } from "./loaded-key.ts";
import { checkMany, macMany } from "./mac.ts";
import { adoptMaterial, makeMaterial, publicDer, isSecret } from "./material.ts";
import { createNonces, type Nonces } from "./nonces.ts";
import { checkPair } from "./pairwise.ts";
import type { Persistence } from "./persistence.ts";
import { refuse } from "./refuse.ts";
import type { RootKeys } from "./root.ts";
import type { Scheduler } from "./scheduler.ts";
import { stateId, type DeviceState } from "./sealed-state.ts";
import type { SecureHeap } from "./secure-heap.ts";
import { signMany, verifyMany } from "./sign.ts";
import { Vault, type NewKeySpec } from "./vault.ts";
import { Witness } from "./witness.ts";
import { unwrapMaterial, wrapMaterial } from "./wrap.ts";

export interface DeviceTools {
  readonly random: Random;
  readonly heap: SecureHeap;
  readonly scheduler: Scheduler;
  readonly makeEcSigner: EcSignerFactory;
  readonly makePreparedSigner: PreparedSignerFactory | undefined;
  /** For tests: AES-GCM uses of one key. */
  readonly keyUses?: number;
}

type Later<T> = T | Promise<T>;
type Answers<T> = (T | CasemateError)[];

export class OpenDevice {
  readonly state: DeviceState;
  readonly identity: KeyObject;
  readonly identityPublic: Uint8Array;
  readonly vault: Vault;
  readonly #tools: DeviceTools;
  readonly #keys: RootKeys;
  readonly #persistence: Persistence;
  readonly #nonces: Nonces;
  readonly #witness: Witness;
  /** Destroyed in memory, not yet durably. */
  readonly #destroying = new Set<string>();
  generated = 0;
  operations = 0;

  constructor(state: DeviceState, keys: RootKeys, persistence: Persistence, tools: DeviceTools) {
    this.state = state;
    this.#keys = keys;
    this.#persistence = persistence;
    this.#tools = tools;
    this.identity = createPrivateKey({ key: Buffer.from(state.identity), format: "der", type: "pkcs8" });
    this.identityPublic = publicDer(this.identity);
    this.vault = new Vault({
      key: keys.blobs,
      random: tools.random,
      heap: tools.heap,
      makeEcSigner: tools.makeEcSigner,
      makePreparedSigner: tools.makePreparedSigner,
      isDestroyed: (id) => state.destroyed.has(stateId(id)),
    });
    this.#nonces = createNonces({
      random: tools.random,
      reserved: state.counters,
      persistence,
      ...(tools.keyUses === undefined ? {} : { keyUses: tools.keyUses }),
    });
    this.#witness = new Witness({ logs: state.witnessed, persistence, open: (ref) => this.#open(ref) });
  }

  /** Wipes what it can reach. The device must not be used afterwards. */
  close(): void {
    this.vault.clear();
    this.#keys.blobs.fill(0);
    this.#keys.state.fill(0);
    this.state.identity.fill(0);
  }

  random({ length }: RequestOf<"random">): ReplyOf<"random"> {
    if (length < 1 || length > LIMITS.random)
      throw refuse("BAD_REQUEST", `1 to ${LIMITS.random} random bytes at once, not ${length}`);
    return { bytes: this.#tools.random.bytes(length) };
  }

  async generate(request: RequestOf<"generate">): Promise<ReplyOf<"generate">> {
    checkUsages(request);
    const make = (): Promise<Uint8Array> => makeMaterial(request.algorithm, this.#tools.random);
    const { family } = ALGORITHMS[request.algorithm];
    const long = family === "rsa" || family === "slh-dsa";
    const material = await (long ? this.#tools.scheduler.long(make) : make());
    const made = await this.#admit(request, material);
    this.generated += 1;
    return made;
  }

  publicKey({ ref }: RequestOf<"publicKey">): ReplyOf<"publicKey"> {
    return { bytes: this.#open(ref).public.export({ format: "der", type: "spki" }) };
  }

  async destroy({ ref }: RequestOf<"destroy">): Promise<ReplyOf<"destroy">> {
    const fullId = this.vault.identify(ref);
    const id = stateId(fullId);
    const { destroyed } = this.state;
    if (destroyed.has(id) && !this.#destroying.has(id)) throw refuse("NOT_FOUND", "the key was destroyed before");
    if (destroyed.size >= LIMITS.destroyed)
      throw refuse("DEVICE_FULL", `the device remembers ${LIMITS.destroyed} destroyed keys and has no room for more`);
    destroyed.add(id);
    this.#destroying.add(id);
    this.vault.forget(fullId);
    this.#nonces.forget(id);
    this.#witness.forget(id);
    // Refused from now on; durable, and said so, only when the host kept the state.
    await this.#persistence.save();
    this.#destroying.delete(id);
    return {};
  }

  sign(request: RequestOf<"sign">): Later<Answers<Uint8Array>> {
    const key = this.#open(request.ref);
    this.#witness.requireOther(key);
    return this.#held(key, signMany(key, request, this.#tools.scheduler, this.#tools.random));
  }

  verify(request: RequestOf<"verify">): Later<Answers<boolean>> {
    const key = this.#open(request.ref);
    return this.#held(key, verifyMany(key, request, this.#tools.scheduler));
  }

  encrypt(request: RequestOf<"encrypt">): Later<Answers<Uint8Array>> {
    const key = this.#open(request.ref);
    return this.#held(key, encryptMany(key, request, { ...this.#tools, nonces: this.#nonces }));
  }

  decrypt(request: RequestOf<"decrypt">): Later<Answers<Uint8Array>> {
    const key = this.#open(request.ref);
    return this.#held(key, decryptMany(key, request, this.#tools.scheduler));
  }

  mac(request: RequestOf<"mac">): Later<Answers<Uint8Array>> {
    const key = this.#open(request.ref);
    return this.#held(key, macMany(key, request, this.#tools.scheduler));
  }

  checkMac(request: RequestOf<"checkMac">): Later<Answers<boolean>> {
    const key = this.#open(request.ref);
    return this.#held(key, checkMany(key, request, this.#tools.scheduler));
  }

  agree({ ref, peer }: RequestOf<"agree">): ReplyOf<"agree"> {
    return { bytes: agree(this.#open(ref), peer) };
  }

  encapsulate({ ref }: RequestOf<"encapsulate">): ReplyOf<"encapsulate"> {
    return encapsulateTo(this.#open(ref));
  }

  decapsulate({ ref, ciphertext }: RequestOf<"decapsulate">): ReplyOf<"decapsulate"> {
    return { bytes: decapsulateWith(this.#open(ref), ciphertext) };
  }

  exportKey({ wrapping, scheme, target }: RequestOf<"exportKey">): ReplyOf<"exportKey"> {
    const key = this.#open(wrapping);
    const leaving = this.#open(target);
    if (!leaving.exportable) {
      throw refuse(
        "NOT_EXPORTABLE",
        "the key was not created exportable and never leaves its device",
        "Create a key with exportable set, or use this one where it is.",
      );
    }
    const material = this.vault.material(target);
    try {
      return { bytes: wrapMaterial(key, scheme, material, this.#tools.random) };
    } finally {
      material.fill(0);
    }
  }

  async importKey(request: RequestOf<"importKey">): Promise<ReplyOf<"importKey">> {
    checkUsages(request);
    const foreign = unwrapMaterial(this.#open(request.wrapping), request.scheme, request.wrapped);
    try {
      return await this.#admit(request, adoptMaterial(request.algorithm, foreign));
    } finally {
      foreign.fill(0);
    }
  }

  dataKeys(request: RequestOf<"dataKeys">): Later<ReplyOf<"dataKeys">> {
    return makeDataKeys(this.#open(request.ref), request, { random: this.#tools.random, nonces: this.#nonces });
  }

  witnessedLogs(): ReplyOf<"witnessedLogs"> {
    return this.#witness.logs();
  }

  async signCheckpoint(request: RequestOf<"signCheckpoint">): Promise<ReplyOf<"signCheckpoint">> {
    return { bytes: await this.#witness.sign(request) };
  }

  #open(ref: Uint8Array): LoadedKey {
    this.operations += 1;
    return this.vault.open(ref);
  }

  #held<T>(key: LoadedKey, answers: Later<(T | Error)[]>): Later<Answers<T>> {
    return (answers instanceof Promise ? key.hold(answers) : answers) as Later<Answers<T>>;
  }

  /** Seals and tests a new key. Wipes `material`. */
  async #admit(spec: NewKeySpec, material: Uint8Array): Promise<ReplyOf<"generate">> {
    const ref = this.vault.seal(spec, material);
    material.fill(0);
    const key = this.vault.open(ref);
    try {
      await key.hold(checkPair(key));
    } catch (error) {
      this.vault.forget(key.id);
      throw error;
    }
    return { ref, publicKey: isSecret(key.row) ? undefined : key.public.export({ format: "der", type: "spki" }) };
  }
}

/** @throws NOT_SUPPORTED, BAD_REQUEST */
function checkUsages({ algorithm, usages }: NewKeySpec): void {
  const wanted = usageNames(usages);
  if (wanted.length === 0) throw refuse("BAD_REQUEST", "a key needs at least one usage");
  if (usages.wrap && usages.encrypt)
    throw refuse(
      "NOT_SUPPORTED",
      "a key that wraps keys does not also decrypt data: it would hand out what it wraps",
      "Make two keys, one with the usage wrap and one with the usage encrypt.",
    );
  // A raw RSA signature is a decryption by another name.
  if (usages.wrap && usages.sign && ALGORITHMS[algorithm].family === "rsa")
    throw refuse(
      "NOT_SUPPORTED",
      "an RSA key that wraps keys does not also sign: a raw signature would hand out what it wraps",
      "Make two keys, one with the usage wrap and one with the usage sign.",
    );
  const lawful = ALGORITHMS[algorithm].usages;
  const excess = wanted.filter((usage) => !lawful.includes(usage));
  if (excess.length > 0)
    throw refuse(
      "NOT_SUPPORTED",
      `${algorithm} cannot be used for ${excess.join(", ")}`,
      `It can ${lawful.join(", ")}.`,
    );
}
