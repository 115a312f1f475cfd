// Implements: PKCS #11 v3.0 §5.18.4 and §5.18.5, secrets that come from other keys, and ECDH with its key derivations.
import { CKA, CKD, CKO, mechanismName, type Mechanism } from "@casemate/protocols/p11-rpc";
import { LIMITS, type Grants, type SecretType } from "@casemate/protocols/session-keys";
import type { Application } from "../application.ts";
import { need } from "../context.ts";
import { curveByAlgorithm, curveOfKey, keyOfPoint, type CurveRow } from "../curves.ts";
import { HASH_BYTES, type Hash } from "../mechanisms.ts";
import type { Material } from "../object.ts";
import type { Session } from "../session.ts";
import type { Destination, SessionSecret } from "../session-keyring.ts";
import { failure } from "../status.ts";
import { checkSecret, complete, keyTypeIn, secretTypeOf } from "../templates.ts";
import type { Template } from "../values.ts";
import { grantsFor, mayMake, passOn, placeKey } from "./create.ts";

/** What an unwrapped or derived secret becomes: a session key, or a key of the device. */
interface NewSecret {
  readonly to: Destination;
  readonly type: SecretType;
  readonly grants: Grants;
  /** @throws CKR_ATTRIBUTE_VALUE_INVALID for a length that its type does not have. */
  check(length: number): void;
  /** Makes an object of it. */
  place(key: SessionSecret): Promise<number>;
}

/** @param derivedFrom the attributes of the key from which it is derived. */
export function newSecret(
  application: Application,
  session: Session,
  template: Template,
  derivedFrom?: Template,
): NewSecret {
  const keyType = keyTypeIn(template);
  checkSecret(keyType, 0);
  const device = template.get(CKA.TOKEN) === true;
  const loggedIn = application.user(session) !== undefined;
  const origin = { loggedIn, ...(derivedFrom === undefined ? {} : { derivedFrom }) };
  const attributes = complete(CKO.SECRET_KEY, template, origin);
  mayMake(application, session, device, device || attributes.get(CKA.PRIVATE) === true);
  return {
    to: application.maker(session, device),
    type: secretTypeOf(keyType),
    grants: grantsFor(device, attributes),
    check: (length) => checkSecret(keyType, length),
    place(key) {
      const check = (): void => checkSecret(keyType, key.length);
      return device
        ? passOn(application, session, template, key, check)
        : placeKey(application, session, attributes, key, check);
    },
  };
}

const KDFS: ReadonlyMap<number, Hash | undefined> = new Map([
  [CKD.NULL, undefined],
  [CKD.SHA1_KDF, "sha1"],
  [CKD.SHA224_KDF, "sha224"],
  [CKD.SHA256_KDF, "sha256"],
  [CKD.SHA384_KDF, "sha384"],
  [CKD.SHA512_KDF, "sha512"],
]);

/** ECDH with a session key, or with a key of a device, whose secret goes on to the process of the session keys. */
export async function agree(
  application: Application,
  session: Session,
  material: Material,
  mechanism: Mechanism,
  wanted: number | undefined,
  secret: NewSecret,
): Promise<SessionSecret> {
  const { parameter } = mechanism;
  if (parameter?.kind !== "ecdh" || !KDFS.has(parameter.kdf)) throw failure("MECHANISM_PARAM_INVALID");
  const hash = KDFS.get(parameter.kdf);
  const { shared } = parameter;
  if (shared.length > (hash === undefined ? 0 : LIMITS.shared)) throw failure("MECHANISM_PARAM_INVALID");
  const curve: CurveRow | undefined =
    material.kind === "device"
      ? curveByAlgorithm(material.key.algorithm)
      : material.kind === "private"
        ? curveOfKey(material.key.public)
        : undefined;
  const peer = curve === undefined ? undefined : keyOfPoint(curve, parameter.peer);
  if (curve === undefined || peer === undefined) throw failure("MECHANISM_PARAM_INVALID");
  const length = wanted ?? (hash === undefined ? curve.bytes : HASH_BYTES[hash]);
  if (length === 0 || length > 4096 || (hash === undefined && length > curve.bytes)) {
    throw failure("TEMPLATE_INCONSISTENT");
  }
  secret.check(length);
  const { to, type, grants } = secret;
  // CKD_NULL takes the leading bytes away (PKCS #11 v3.0, CKM_ECDH1_DERIVE).
  const how = hash === undefined ? { kind: "last" as const } : { kind: "x963" as const, hash, shared };
  const request = { how, type, length, ...grants };
  const details = { operation: "derive", mechanism: mechanismName(mechanism.type) };
  const spki = peer.export({ format: "der", type: "spki" });
  const { sessionKeys, keyring } = application.ports;
  if (material.kind === "private") return sessionKeys.agree(to, material.key, spki, request, details);
  if (material.kind !== "device") throw failure("KEY_TYPE_INCONSISTENT");
  const { name, version } = material.key;
  const agreed = await keyring.agree(need(application.user(session)), name, spki, version);
  return sessionKeys.deriveFrom(to, agreed.secret, request, details);
}
