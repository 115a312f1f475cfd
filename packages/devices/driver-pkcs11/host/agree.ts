// Implements: C_DeriveKey with CKM_ECDH1_DERIVE and no key derivation function (PKCS #11 v3.0 §2.3.17): the raw shared secret.
import { CasemateError } from "@casemate/foundation/errors";
import { CKA, CKD, CKK, CKM, CKO, CKR } from "@casemate/protocols/p11-rpc";
import { pointOf } from "../public-key.ts";
import { hasRv } from "../status.ts";
import type { Handlers } from "../wire.ts";
import type { Handle } from "./addon.ts";
import { readAttributes } from "./attributes.ts";
import { mustAllow, withKey } from "./batch.ts";
import type { Key, KeyStore } from "./keys.ts";
import type { Lane } from "./lane.ts";
import { destroyObjects } from "./make.ts";
import { octetString } from "./public-objects.ts";
import { rowOf } from "./templates.ts";

/** How a module says that it wants the peer's point in the other encoding. */
const OTHER_ENCODING = [
  CKR.ARGUMENTS_BAD,
  CKR.MECHANISM_PARAM_INVALID,
  CKR.PUBLIC_KEY_INVALID,
  CKR.GENERAL_ERROR,
  CKR.FUNCTION_FAILED,
  CKR.DATA_INVALID,
] as const;

/** Bytes of a coordinate, which is what two agree on. */
const sizeOf = ({ algorithm }: Key): number => rowOf(algorithm).curve?.size ?? 0;

export function agreeHandlers(lane: Lane, keys: KeyStore): Pick<Handlers, "agree"> {
  const { cryptoki, params, session } = lane;
  let wrapped = lane.plan.quirks.wrappedPeerPoint ?? false;

  const derive = (open: Handle, key: Key, point: Uint8Array): Handle =>
    cryptoki.C_DeriveKey(
      open,
      {
        mechanism: CKM.ECDH1_DERIVE,
        parameter: { type: params.ecdh, kdf: CKD.NULL, publicData: wrapped ? octetString(point) : Buffer.from(point) },
      },
      key.handle,
      [
        { type: CKA.CLASS, value: CKO.SECRET_KEY },
        { type: CKA.KEY_TYPE, value: CKK.GENERIC_SECRET },
        { type: CKA.TOKEN, value: false },
        { type: CKA.SENSITIVE, value: false },
        { type: CKA.EXTRACTABLE, value: true },
        { type: CKA.VALUE_LEN, value: sizeOf(key) },
      ],
    );

  /** The peer's point was checked before, so an error about it is about its encoding. */
  const deriveEitherWay = (open: Handle, key: Key, point: Uint8Array): Handle => {
    try {
      return derive(open, key, point);
    } catch (error) {
      if (!hasRv(error, ...OTHER_ENCODING)) throw error;
      wrapped = !wrapped;
      try {
        return derive(open, key, point);
      } catch {
        wrapped = !wrapped;
        throw error;
      }
    }
  };

  return {
    agree: ({ ref, peer }) =>
      withKey(keys, ref, (key) => {
        if (!lane.plan.agrees || (key.keyType !== CKK.EC && key.keyType !== CKK.EC_MONTGOMERY))
          throw new CasemateError("NOT_SUPPORTED", `${key.algorithm} keys of this token agree on nothing`);
        mustAllow(key.may.derive, "agree");
        const point = pointOf(key.algorithm, peer);
        if (point === undefined)
          throw new CasemateError("BAD_REQUEST", `${peer.length} bytes are no public key on the curve of this key`);
        const bytes = session.run((open) => {
          const secret = deriveEitherWay(open, key, point);
          try {
            const value = readAttributes(cryptoki, open, secret, [CKA.VALUE]).get(CKA.VALUE);
            if (value === undefined || value.length === 0)
              throw new CasemateError("NOT_SUPPORTED", "this token does not show what it agreed on");
            const size = sizeOf(key);
            if (value.length === size) return Uint8Array.from(value);
            throw new CasemateError(
              "DEVICE_FAILED",
              `the token gave ${value.length} bytes as the shared secret, not ${size}`,
            );
          } finally {
            destroyObjects(lane, open, secret);
          }
        });
        return { bytes };
      }),
  };
}
