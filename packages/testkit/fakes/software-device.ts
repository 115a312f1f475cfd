import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  sign as signWith,
  timingSafeEqual,
  verify as verifyWith,
  constants,
  type KeyObject,
} from "node:crypto";
import type {
  AlgorithmSupport,
  Device,
  DeviceEvent,
  DeviceObject,
  DeviceState,
  KeyAlgorithm,
  KeyRef,
  KeySpec,
  Many,
  NewKey,
  SignScheme,
} from "@casemate/devices/contract";
import { equalBytes, fromUtf8, toHex, toUtf8 } from "@casemate/foundation/bytes";
import { asCasemateError, CasemateError } from "@casemate/foundation/errors";
import { SoftwareWitness } from "./software-witness.ts";

type Secret =
  { readonly kind: "private"; readonly key: KeyObject } | { readonly kind: "secret"; readonly bytes: Uint8Array };

interface Held {
  readonly spec: KeySpec;
  readonly secret: Secret;
}

const ALGORITHMS: readonly AlgorithmSupport[] = [
  {
    algorithm: "ec-p256",
    usages: ["sign", "agree"],
    sign: ["ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"],
    cipher: [],
    mac: [],
    wrap: [],
  },
  { algorithm: "ed25519", usages: ["sign"], sign: ["pure"], cipher: [], mac: [], wrap: [] },
  {
    algorithm: "rsa-2048",
    usages: ["sign", "encrypt"],
    sign: ["rsa-pkcs1-sha256", "rsa-pss-sha256", "rsa-pss-sha384", "rsa-pss-sha512"],
    cipher: ["rsa-oaep-sha256"],
    mac: [],
    wrap: [],
  },
  {
    algorithm: "aes-256",
    usages: ["encrypt", "wrap"],
    sign: [],
    cipher: ["aes-gcm"],
    mac: [],
    wrap: ["aes-kwp"],
  },
  { algorithm: "hmac-sha256", usages: ["mac"], sign: [], cipher: [], mac: ["hmac-sha256"], wrap: [] },
];

export interface SoftwareDevice extends Device {
  /** Calls made so far, oldest first, as `facet.method`. */
  readonly calls: readonly string[];
  /** Keys it holds now. */
  readonly held: number;
  /** The next call of that name fails with this; `after` lets it act first, as when the answer is lost. */
  failNext(call: string, error: CasemateError, options?: { readonly after?: boolean }): void;
  setState(state: DeviceState): void;
  emit(event: DeviceEvent): void;
  /** A key that the keyring did not make, to be listed and adopted. */
  plant(algorithm: KeyAlgorithm, label: string, id: string): void;
}

/** A device in this process, for tests of what stands above the contract. Its keys outlive `close`, as a real device's do. */
export function softwareDevice(id = "hsm-1"): SoftwareDevice {
  const held = new Map<string, Held>();
  const planted: DeviceObject[] = [];
  const witness = new SoftwareWitness();
  const calls: string[] = [];
  const failures = new Map<string, { readonly error: CasemateError; readonly after: boolean }>();
  const listeners = new Set<(event: DeviceEvent) => void>();
  let state: DeviceState = "operational";
  let count = 0;

  const call = async <T>(name: string, act: () => T): Promise<T> => {
    calls.push(name);
    if (state !== "operational" && !name.startsWith("unlock."))
      throw new CasemateError(
        state === "tampered" ? "DEVICE_TAMPERED" : state === "locked" ? "DEVICE_LOCKED" : "DEVICE_ABSENT",
        `${id} is ${state}`,
      );
    const failure = failures.get(name);
    failures.delete(name);
    if (failure !== undefined && !failure.after) throw failure.error;
    const answer = act();
    if (failure !== undefined) throw failure.error;
    return answer;
  };
  const find = (ref: KeyRef): Held => {
    const key = held.get(fromUtf8(ref));
    if (key === undefined) throw new CasemateError("NOT_FOUND", `${id} holds no such key`);
    return key;
  };
  const add = (spec: KeySpec, secret: Secret): NewKey => {
    const ref = `${id}#${++count}`;
    held.set(ref, { spec, secret });
    return { ref: toUtf8(ref), ...(secret.kind === "private" ? { publicKey: spki(secret.key) } : {}) };
  };

  const device: SoftwareDevice = {
    calls,
    get held() {
      return held.size;
    },
    failNext: (name, error, options = {}) => failures.set(name, { error, after: options.after ?? false }),
    setState(next) {
      state = next;
      if (next === "absent") return;
      for (const listener of listeners) listener({ kind: "state", state: next, detail: "set by the test" });
    },
    emit(event) {
      for (const listener of listeners) listener(event);
    },
    plant(algorithm, label, objectId) {
      const spec: KeySpec = { algorithm, usages: usagesOf(algorithm), exportable: false, label };
      const made = add(spec, generate(algorithm));
      planted.push({ ...made, label, id: objectId, algorithm, usages: spec.usages });
    },
    identity: {
      id,
      kind: "hsm",
      maker: "Casemate tests",
      model: "software device",
      serial: "0",
      firmware: "1",
      virtual: true,
      certifications: [],
    },
    algorithms: ALGORITHMS,
    status: async () => ({ state, counters: { keys: held.size }, notes: [] }),
    random: (length) => call("random", () => new Uint8Array(randomBytes(length))),
    keys: {
      generate: (spec) => call("keys.generate", () => add(spec, generate(spec.algorithm))),
      publicKey: (ref) => call("keys.publicKey", () => spki(privateOf(find(ref)))),
      destroy: (ref) =>
        call("keys.destroy", () => {
          find(ref);
          held.delete(fromUtf8(ref));
          witness.forget(ref);
        }),
    },
    sign: {
      sign: (ref, scheme, kind, inputs) =>
        call("sign.sign", () => {
          const key = find(ref);
          witness.requireOther(ref);
          return many(inputs, (input) => signOne(privateOf(key), scheme, kind, input));
        }),
      verify: (ref, scheme, kind, items) =>
        call("sign.verify", () => {
          const key = createPublicKey(privateOf(find(ref)));
          return many(items, ({ input, signature }) => {
            needMessage(kind);
            return verifyWith(hashOf(scheme), input, { key, ...paddingOf(scheme) }, signature);
          });
        }),
    },
    cipher: {
      encrypt: (ref, scheme, items) =>
        call("cipher.encrypt", () => {
          const key = find(ref);
          return many(items, ({ data, context }) =>
            scheme === "aes-gcm"
              ? gcmEncrypt(secretOf(key), data, context)
              : new Uint8Array(publicEncrypt({ key: createPublicKey(privateOf(key)), oaepHash: "sha256" }, data)),
          );
        }),
      decrypt: (ref, scheme, items) =>
        call("cipher.decrypt", () => {
          const key = find(ref);
          return many(items, ({ data, context }) => {
            try {
              return scheme === "aes-gcm"
                ? gcmDecrypt(secretOf(key), data, context)
                : new Uint8Array(privateDecrypt({ key: privateOf(key), oaepHash: "sha256" }, data));
            } catch (cause) {
              throw new CasemateError("DECRYPT_FAILED", "the ciphertext does not belong to this key", { cause });
            }
          });
        }),
    },
    mac: {
      mac: (ref, _scheme, inputs) =>
        call("mac.mac", () => {
          const key = secretOf(find(ref));
          return many(inputs, (input) => hmac(key, input));
        }),
      check: (ref, _scheme, items) =>
        call("mac.check", () => {
          const key = secretOf(find(ref));
          return many(items, ({ input, mac }) => mac.length === 32 && timingSafeEqual(hmac(key, input), mac));
        }),
    },
    agree: {
      agree: (ref, peer) =>
        call("agree.agree", () => {
          const publicKey = createPublicKey({ key: Buffer.from(peer), format: "der", type: "spki" });
          return new Uint8Array(diffieHellman({ privateKey: privateOf(find(ref)), publicKey }));
        }),
    },
    wrap: {
      export: (wrapping, _scheme, target) =>
        call("wrap.export", () => {
          const { spec, secret } = find(target);
          if (!spec.exportable) throw new CasemateError("NOT_EXPORTABLE", "the key was not made exportable");
          return keyWrap(secretOf(find(wrapping)), material(secret));
        }),
      import: (wrapping, _scheme, wrapped, spec) =>
        call("wrap.import", () =>
          add(spec, fromMaterial(spec.algorithm, keyUnwrap(secretOf(find(wrapping)), wrapped))),
        ),
    },
    dataKeys: {
      generate: (ref, { count: wanted, bytes, plaintext, context }) =>
        call("dataKeys.generate", () => {
          const key = secretOf(find(ref));
          return Array.from({ length: wanted }, () => {
            const fresh = new Uint8Array(randomBytes(bytes));
            return { wrapped: gcmEncrypt(key, fresh, context), ...(plaintext ? { plaintext: fresh } : {}) };
          });
        }),
    },
    witness: witness.facet(call, (ref) => privateOf(find(ref))),
    unlock: {
      challenge: () =>
        call("unlock.challenge", () => ({
          publicKey: new Uint8Array(32),
          signature: new Uint8Array(64),
          signer: new Uint8Array(44),
        })),
      unlock: (sealed) =>
        call("unlock.unlock", () => {
          if (!equalBytes(sealed, toUtf8("open"))) throw new CasemateError("PIN_WRONG", "the passphrase is wrong");
          device.setState("operational");
        }),
      lock: () => call("unlock.lock", () => device.setState("locked")),
    },
    zeroize: { zeroize: () => call("zeroize.zeroize", () => [held, witness].forEach((part) => part.clear())) },
    watch: {
      watch(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    objects: { list: () => call("objects.list", () => [...planted]) },
    close: async () => undefined,
  };
  return device;
}

function usagesOf(algorithm: KeyAlgorithm): AlgorithmSupport["usages"] {
  return ALGORITHMS.find((row) => row.algorithm === algorithm)?.usages ?? [];
}

const MAKE: ReadonlyMap<KeyAlgorithm, () => Secret> = new Map<KeyAlgorithm, () => Secret>([
  ["ec-p256", () => ({ kind: "private", key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey })],
  ["ed25519", () => ({ kind: "private", key: generateKeyPairSync("ed25519").privateKey })],
  ["rsa-2048", () => ({ kind: "private", key: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey })],
  ["aes-256", () => ({ kind: "secret", bytes: new Uint8Array(randomBytes(32)) })],
  ["hmac-sha256", () => ({ kind: "secret", bytes: new Uint8Array(randomBytes(32)) })],
]);

function generate(algorithm: KeyAlgorithm): Secret {
  const make = MAKE.get(algorithm);
  if (make === undefined) throw new CasemateError("NOT_SUPPORTED", `no ${algorithm} here`);
  return make();
}

function many<I, O>(items: readonly I[], act: (item: I) => O): Many<O> {
  return items.map((item) => {
    try {
      return act(item);
    } catch (error) {
      return asCasemateError(error);
    }
  });
}

const HASHES: ReadonlyMap<SignScheme, string> = new Map([
  ["rsa-pkcs1-sha256", "sha256"],
  ["rsa-pss-sha256", "sha256"],
  ["rsa-pss-sha384", "sha384"],
  ["rsa-pss-sha512", "sha512"],
  ["ecdsa-sha256", "sha256"],
  ["ecdsa-sha384", "sha384"],
  ["ecdsa-sha512", "sha512"],
]);

function hashOf(scheme: SignScheme): string | null {
  return HASHES.get(scheme) ?? null;
}

function paddingOf(scheme: SignScheme) {
  return scheme.startsWith("rsa-pss-")
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
}

function needMessage(kind: string): void {
  if (kind !== "message") throw new CasemateError("NOT_SUPPORTED", "the software device signs messages, not digests");
}

function signOne(key: KeyObject, scheme: SignScheme, kind: string, input: Uint8Array): Uint8Array {
  needMessage(kind);
  return new Uint8Array(signWith(hashOf(scheme), input, { key, ...paddingOf(scheme) }));
}

function privateOf({ secret, spec }: Held): KeyObject {
  if (secret.kind === "private") return secret.key;
  throw new CasemateError("NOT_SUPPORTED", `${spec.algorithm} has no private key`);
}

function secretOf({ secret, spec }: Held): Uint8Array {
  if (secret.kind === "secret") return secret.bytes;
  throw new CasemateError("NOT_SUPPORTED", `${spec.algorithm} is no secret key`);
}

function spki(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
}

function hmac(key: Uint8Array, input: Uint8Array): Uint8Array {
  return new Uint8Array(createHmac("sha256", key).update(input).digest());
}

function gcmEncrypt(key: Uint8Array, data: Uint8Array, context: Uint8Array = new Uint8Array(0)): Uint8Array {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(context);
  return new Uint8Array(Buffer.concat([nonce, cipher.update(data), cipher.final(), cipher.getAuthTag()]));
}

function gcmDecrypt(key: Uint8Array, data: Uint8Array, context: Uint8Array = new Uint8Array(0)): Uint8Array {
  const cipher = createDecipheriv("aes-256-gcm", key, data.subarray(0, 12), { authTagLength: 16 }).setAAD(context);
  cipher.setAuthTag(data.subarray(-16));
  return new Uint8Array(Buffer.concat([cipher.update(data.subarray(12, -16)), cipher.final()]));
}

const KWP_IV = Buffer.from("a65959a6", "hex");

function keyWrap(key: Uint8Array, data: Uint8Array): Uint8Array {
  const cipher = createCipheriv("id-aes256-wrap-pad", key, KWP_IV);
  return new Uint8Array(Buffer.concat([cipher.update(data), cipher.final()]));
}

function keyUnwrap(key: Uint8Array, wrapped: Uint8Array): Uint8Array {
  try {
    const cipher = createDecipheriv("id-aes256-wrap-pad", key, KWP_IV);
    return new Uint8Array(Buffer.concat([cipher.update(wrapped), cipher.final()]));
  } catch (cause) {
    throw new CasemateError("DECRYPT_FAILED", "the wrapped key does not belong to this wrapping key", { cause });
  }
}

function material(secret: Secret): Uint8Array {
  return secret.kind === "secret" ? secret.bytes : new Uint8Array(secret.key.export({ format: "der", type: "pkcs8" }));
}

function fromMaterial(algorithm: KeyAlgorithm, bytes: Uint8Array): Secret {
  const sample = generate(algorithm);
  if (sample.kind === "private")
    return { kind: "private", key: createPrivateKey({ key: Buffer.from(bytes), format: "der", type: "pkcs8" }) };
  if (bytes.length !== sample.bytes.length)
    throw new CasemateError(
      "BAD_REQUEST",
      `${bytes.length} bytes are no ${algorithm} key (${toHex(bytes).length * 4} bits)`,
    );
  return { kind: "secret", bytes };
}
