/** Public keys, key agreement, encapsulation, wrapped and refused exports, data keys, randomness. */
import { DATA_KEY_BYTES, type DataKeyBytes } from "@casemate/devices/contract";
import { Type } from "../schema-builder.ts";
import { base64Of, bytesFrom } from "../base64.ts";
import { REST_LIMITS as LIMIT } from "../limits.ts";
import { preferred } from "../media.ts";
import { operation, RawReply, type Operation } from "../operation.ts";
import { algorithm, bytes, choice, identifier, keyName, version, wrapScheme } from "../schemas.ts";
import { keyParams } from "./keys.ts";

const closed = { additionalProperties: false } as const;
const PEM = "application/x-pem-file";
const DER = "application/octet-stream";
const outBytes = (description: string) => Type.String({ contentEncoding: "base64", description });
const usedVersion = Type.Integer({ description: "Key version that was used." });
const warnings = Type.Array(Type.String({ description: "A fact its user must know." }));

/** RFC 7468 §13. */
function pemOf(der: Uint8Array): string {
  const lines = base64Of(der).replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----\n`;
}

const FORMAT_OF_TYPE: ReadonlyMap<string, "pem" | "der"> = new Map([
  [PEM, "pem"],
  [DER, "der"],
]);

const publicKey = operation({
  id: "getPublicKey",
  method: "GET",
  path: "/v1/keys/{name}/public",
  tag: "Material",
  summary: "The public key: JSON, PEM or DER",
  description: `JSON by default; PEM with format=pem or Accept: ${PEM}; DER with format=der or Accept: ${DER}.`,
  action: "key.public",
  params: keyParams,
  query: Type.Object(
    { version: Type.Optional(version), format: Type.Optional(choice(["json", "pem", "der"], "Format of the answer.")) },
    closed,
  ),
  response: Type.Object({
    version: usedVersion,
    algorithm,
    publicKey: outBytes("SubjectPublicKeyInfo DER."),
    pem: Type.String({ description: "The same as PEM (RFC 7468)." }),
  }),
  produces: [PEM, DER],
  handle: ({ params, query, accept }) => {
    const format = query.format ?? FORMAT_OF_TYPE.get(preferred(accept, [PEM, DER]) ?? "") ?? "json";
    return async (keyring, caller) => {
      const found = await keyring.publicKey(caller, params.name, query.version);
      if (format === "pem") return new RawReply(pemOf(found.publicKey), PEM);
      if (format === "der") return new RawReply(found.publicKey, DER);
      return { ...found, publicKey: base64Of(found.publicKey), pem: pemOf(found.publicKey) };
    };
  },
});

const agree = operation({
  id: "agree",
  method: "POST",
  path: "/v1/keys/{name}/agree",
  tag: "Material",
  summary: "Agree on a secret with a peer's public key (ECDH, X25519, X448)",
  action: "key.agree",
  params: keyParams,
  body: Type.Object(
    { peer: bytes(LIMIT.peerBytes, "The peer's SubjectPublicKeyInfo DER."), version: Type.Optional(version) },
    closed,
  ),
  response: Type.Object({ version: usedVersion, secret: outBytes("Raw shared secret.") }),
  handle: ({ params, body }) => {
    const peer = bytesFrom(body.peer, "peer", LIMIT.peerBytes);
    return async (keyring, caller) => {
      const done = await keyring.agree(caller, params.name, peer, body.version);
      return { version: done.version, secret: base64Of(done.secret) };
    };
  },
});

const encapsulate = operation({
  id: "encapsulate",
  method: "POST",
  path: "/v1/keys/{name}/encapsulate",
  tag: "Material",
  summary: "Make a shared secret and its ciphertext (ML-KEM)",
  action: "key.encapsulate",
  params: keyParams,
  body: Type.Object({ version: Type.Optional(version) }, closed),
  response: Type.Object({
    version: usedVersion,
    ciphertext: outBytes("For the holder of the key."),
    sharedSecret: outBytes("For the caller."),
  }),
  handle:
    ({ params, body }) =>
    async (keyring, caller) => {
      const done = await keyring.encapsulate(caller, params.name, body.version);
      return {
        version: done.version,
        ciphertext: base64Of(done.ciphertext),
        sharedSecret: base64Of(done.sharedSecret),
      };
    },
});

const decapsulate = operation({
  id: "decapsulate",
  method: "POST",
  path: "/v1/keys/{name}/decapsulate",
  tag: "Material",
  summary: "Recover the shared secret of a ciphertext (ML-KEM)",
  action: "key.decapsulate",
  params: keyParams,
  body: Type.Object(
    { ciphertext: bytes(LIMIT.encapsulatedBytes, "The encapsulated secret."), version: Type.Optional(version) },
    closed,
  ),
  response: Type.Object({ version: usedVersion, sharedSecret: outBytes("The shared secret.") }),
  handle: ({ params, body }) => {
    const ciphertext = bytesFrom(body.ciphertext, "ciphertext", LIMIT.encapsulatedBytes);
    return async (keyring, caller) => {
      const done = await keyring.decapsulate(caller, params.name, ciphertext, body.version);
      return { version: done.version, sharedSecret: base64Of(done.sharedSecret) };
    };
  },
});

const wrapKey = operation({
  id: "wrapKey",
  method: "POST",
  path: "/v1/keys/{name}/wrap",
  tag: "Material",
  summary: "Export a key wrapped under another key of the same device",
  description: "Only for keys that were created exportable.",
  action: "key.wrap",
  params: keyParams,
  body: Type.Object({ wrappingKey: keyName, scheme: wrapScheme, version: Type.Optional(version) }, closed),
  response: Type.Object({ version: usedVersion, warnings, wrapped: outBytes("The wrapped key.") }),
  handle:
    ({ params, body }) =>
    async (keyring, caller) => {
      const done = await keyring.wrapKey(caller, params.name, body);
      return { version: done.version, warnings: done.warnings, wrapped: base64Of(done.wrapped) };
    },
});

const exportKey = operation({
  id: "exportKey",
  method: "POST",
  path: "/v1/keys/{name}/export",
  tag: "Material",
  summary: "Plaintext export: always refused, with the lawful ways as the hint",
  action: "key.export",
  params: keyParams,
  body: Type.Object({}, closed),
  response: Type.Object({}, { description: "Never sent: the answer is NOT_EXPORTABLE, NOT_FOUND or FORBIDDEN." }),
  handle:
    ({ params }) =>
    async (keyring, caller) =>
      await keyring.exportKey(caller, params.name),
});

const dataKeys = operation({
  id: "createDataKeys",
  method: "POST",
  path: "/v1/keys/{name}/data-keys",
  tag: "Material",
  summary: "Make data keys for envelope encryption",
  action: "key.data-keys",
  params: keyParams,
  body: Type.Object(
    {
      count: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMIT.dataKeys, description: "How many, default 1." })),
      bytes: Type.Optional(
        Type.Unsafe<DataKeyBytes>({
          type: "integer",
          enum: [...DATA_KEY_BYTES],
          description: "Length of each, default 32.",
        }),
      ),
      plaintext: Type.Optional(
        Type.Boolean({ description: "Give the plaintext beside the wrapped form. Default false." }),
      ),
      context: Type.Optional(bytes(LIMIT.contextBytes, "Bound to each wrapped key.")),
    },
    closed,
  ),
  response: Type.Object({
    version: usedVersion,
    warnings,
    keys: Type.Array(
      Type.Object({
        wrapped: outBytes("Give it to decrypt to get the plaintext back."),
        plaintext: Type.Optional(outBytes("The data key, when asked for.")),
      }),
    ),
  }),
  handle: ({ params, body }) => {
    const request = {
      count: body.count ?? 1,
      bytes: body.bytes ?? 32,
      plaintext: body.plaintext ?? false,
      ...(body.context === undefined ? {} : { context: bytesFrom(body.context, "context", LIMIT.contextBytes) }),
    } as const;
    return async (keyring, caller) => {
      const done = await keyring.dataKeys(caller, params.name, request);
      const keys = done.keys.map(({ wrapped, plaintext }) => ({
        wrapped: base64Of(wrapped),
        ...(plaintext === undefined ? {} : { plaintext: base64Of(plaintext) }),
      }));
      return { version: done.version, warnings: done.warnings, keys };
    };
  },
});

const random = operation({
  id: "random",
  method: "POST",
  path: "/v1/random",
  tag: "Material",
  summary: "Random bytes made by a device",
  action: "random",
  body: Type.Object(
    {
      length: Type.Integer({ minimum: 1, maximum: LIMIT.randomBytes, description: "How many bytes." }),
      device: Type.Optional(identifier("Device that makes them; the server's default when absent.")),
    },
    closed,
  ),
  response: Type.Object({ bytes: outBytes("The random bytes.") }),
  produces: [DER],
  handle:
    ({ body, accept }) =>
    async (keyring, caller) => {
      const made = await keyring.random(caller, body.length, body.device);
      return preferred(accept, [DER]) === DER ? new RawReply(made, DER) : { bytes: base64Of(made) };
    },
});

export const materialOperations: readonly Operation[] = [
  publicKey,
  agree,
  encapsulate,
  decapsulate,
  wrapKey,
  exportKey,
  dataKeys,
  random,
];
