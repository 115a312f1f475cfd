/** Devices: what they are, what they hold, unlocking, locking and zeroizing. */
import type { Action, DeviceView, Keyring, Caller } from "@casemate/keyring/core";
import { Type } from "../schema-builder.ts";
import { base64Of, bytesFrom } from "../base64.ts";
import { operation, type Operation } from "../operation.ts";
import { bytes, identifier, ref } from "../schemas.ts";
import { deviceJson, deviceObjectJson } from "../views.ts";

const closed = { additionalProperties: false } as const;
/** A sealed passphrase with its ephemeral key, nonce and tag. */
const SEALED_BYTES = 4096;
const params = Type.Object({ id: identifier("Name of the device.") }, closed);

const listDevices = operation({
  id: "listDevices",
  method: "GET",
  path: "/v1/devices",
  tag: "Devices",
  summary: "All devices with their state",
  action: "device.list",
  response: Type.Object({ items: Type.Array(ref("Device")) }),
  handle: () => async (keyring, caller) => ({ items: (await keyring.listDevices(caller)).map(deviceJson) }),
});

const getDevice = operation({
  id: "getDevice",
  method: "GET",
  path: "/v1/devices/{id}",
  tag: "Devices",
  summary: "One device",
  action: "device.read",
  params,
  response: ref("Device"),
  handle:
    ({ params: { id } }) =>
    async (keyring, caller) =>
      deviceJson(await keyring.getDevice(caller, id)),
});

const listDeviceObjects = operation({
  id: "listDeviceObjects",
  method: "GET",
  path: "/v1/devices/{id}/objects",
  tag: "Devices",
  summary: "Keys inside a device, those made by others included",
  action: "device.objects",
  params,
  response: Type.Object({ items: Type.Array(ref("DeviceObject")) }),
  handle:
    ({ params: { id } }) =>
    async (keyring, caller) => ({ items: (await keyring.listDeviceObjects(caller, id)).map(deviceObjectJson) }),
});

const challenge = operation({
  id: "challengeDevice",
  method: "POST",
  path: "/v1/devices/{id}/challenge",
  tag: "Devices",
  summary: "A one-time public key of the device to seal a passphrase to",
  action: "device.unlock",
  params,
  body: Type.Object({}, closed),
  response: Type.Object({
    publicKey: Type.String({ contentEncoding: "base64", description: "X25519 public key, 32 bytes." }),
    signature: Type.String({
      contentEncoding: "base64",
      description: "Over it, by `signer` (Ed25519); empty when the device cannot sign while locked.",
    }),
    signer: Type.String({
      contentEncoding: "base64",
      description: "SubjectPublicKeyInfo DER of the device's unlock key, the same at every unlock: remember it.",
    }),
  }),
  handle:
    ({ params: { id } }) =>
    async (keyring, caller) => {
      const made = await keyring.deviceChallenge(caller, id);
      return {
        publicKey: base64Of(made.publicKey),
        signature: base64Of(made.signature),
        signer: base64Of(made.signer),
      };
    },
});

const unlock = operation({
  id: "unlockDevice",
  method: "POST",
  path: "/v1/devices/{id}/unlock",
  tag: "Devices",
  summary: "Hand a device its sealed passphrase; the server cannot read it",
  action: "device.unlock",
  params,
  body: Type.Object({ sealed: bytes(SEALED_BYTES, "Passphrase encrypted to the challenge.") }, closed),
  response: ref("Device"),
  handle: ({ params: { id }, body }) => {
    const sealed = bytesFrom(body.sealed, "sealed", SEALED_BYTES);
    return async (keyring, caller) => deviceJson(await keyring.unlockDevice(caller, id, sealed));
  },
});

interface Move {
  readonly verb: "lock" | "zeroize";
  readonly action: Action;
  readonly summary: string;
  readonly run: (keyring: Keyring, caller: Caller, id: string) => Promise<DeviceView>;
}

const MOVES: readonly Move[] = [
  {
    verb: "lock",
    action: "device.lock",
    summary: "The device forgets what unlocks it",
    run: (keyring, caller, id) => keyring.lockDevice(caller, id),
  },
  {
    verb: "zeroize",
    action: "device.zeroize",
    summary: "Destroy every key in the device, at once and for ever",
    run: (keyring, caller, id) => keyring.zeroizeDevice(caller, id),
  },
];

const moves = MOVES.map(({ verb, action, summary, run }) =>
  operation({
    id: `${verb}Device`,
    method: "POST",
    path: `/v1/devices/{id}/${verb}`,
    tag: "Devices",
    summary,
    action,
    params,
    body: Type.Object({}, closed),
    response: ref("Device"),
    handle:
      ({ params: { id } }) =>
      async (keyring, caller) =>
        deviceJson(await run(keyring, caller, id)),
  }),
);

export const deviceOperations: readonly Operation[] = [
  listDevices,
  getDevice,
  listDeviceObjects,
  challenge,
  unlock,
  ...moves,
];
