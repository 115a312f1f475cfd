/** Every use case of the keyring, in one place. */
import { adoptKey } from "./catalogue/adopt-key.ts";
import { createKey } from "./catalogue/create-key.ts";
import { getKey } from "./catalogue/get-key.ts";
import { importKey } from "./catalogue/import-key.ts";
import { listKeys } from "./catalogue/list-keys.ts";
import { publicKey } from "./catalogue/public-key.ts";
import { updateKey } from "./catalogue/update-key.ts";
import type { Core } from "./core.ts";
import { getDevice } from "./devices/get-device.ts";
import { listDeviceObjects } from "./devices/list-device-objects.ts";
import { listDevices } from "./devices/list-devices.ts";
import { deviceChallenge, lockDevice, unlockDevice } from "./devices/unlock-device.ts";
import { zeroizeDevice } from "./devices/zeroize-device.ts";
import { destroyKey } from "./lifecycle/destroy-key.ts";
import { restoreKey } from "./lifecycle/restore-key.ts";
import { rotateKey } from "./lifecycle/rotate-key.ts";
import { transition } from "./lifecycle/transition.ts";
import { explain } from "./policies/explain.ts";
import { listPolicies } from "./policies/list-policies.ts";
import { setPolicy } from "./policies/set-policy.ts";
import { testPolicy } from "./policies/test-policy.ts";
import { authenticate } from "./tokens/authenticate.ts";
import { createToken } from "./tokens/create-token.ts";
import { listTokens } from "./tokens/list-tokens.ts";
import { revokeToken } from "./tokens/revoke-token.ts";
import { auditCheckpoint, auditConsistency, auditInclusion, auditRecords } from "./trail/audit-use-cases.ts";
import { refused } from "./trail/refused.ts";
import { repeated } from "./trail/repeated.ts";
import type { Keyring } from "./types.ts";
import { agree } from "./use/agree.ts";
import { dataKeys } from "./use/data-keys.ts";
import { decrypt } from "./use/decrypt.ts";
import { encrypt } from "./use/encrypt.ts";
import { decapsulate, encapsulate } from "./use/kem.ts";
import { mac, macVerify } from "./use/mac.ts";
import { random } from "./use/random.ts";
import { usePublicHalf } from "./use/public-half.ts";
import { sessionKey } from "./use/session-key.ts";
import { sign } from "./use/sign.ts";
import { verify } from "./use/verify.ts";
import { exportKey, wrapKey } from "./use/wrap-key.ts";

interface Waiting {
  /** To be called when a device was unlocked. */
  readonly opened: () => Promise<void>;
  /** To be called when keys of Casemate's own went with a zeroized device. */
  readonly zeroized: () => Promise<void>;
}

export function composeUseCases(
  core: Core,
  { opened, zeroized }: Waiting,
): Omit<Keyring, "alarm" | "warning" | "subscribe" | "metrics" | "count" | "runSchedule" | "close"> {
  return {
    authenticate: authenticate(core),
    refused: refused(core),
    repeated: repeated(core),
    createKey: createKey(core),
    importKey: importKey(core),
    adoptKey: adoptKey(core),
    getKey: getKey(core),
    listKeys: listKeys(core),
    updateKey: updateKey(core),
    rotateKey: rotateKey(core),
    transition: transition(core),
    destroyKey: destroyKey(core),
    restoreKey: restoreKey(core),
    publicKey: publicKey(core),
    sign: sign(core),
    verify: verify(core),
    encrypt: encrypt(core),
    decrypt: decrypt(core),
    mac: mac(core),
    macVerify: macVerify(core),
    agree: agree(core),
    encapsulate: encapsulate(core),
    decapsulate: decapsulate(core),
    wrapKey: wrapKey(core),
    exportKey: exportKey(core),
    dataKeys: dataKeys(core),
    random: random(core),
    sessionKey: sessionKey(core),
    usePublicHalf: usePublicHalf(core),
    listDevices: listDevices(core),
    getDevice: getDevice(core),
    listDeviceObjects: listDeviceObjects(core),
    deviceChallenge: deviceChallenge(core),
    unlockDevice: unlockDevice(core, opened),
    lockDevice: lockDevice(core),
    zeroizeDevice: zeroizeDevice(core, zeroized),
    createToken: createToken(core),
    listTokens: listTokens(core),
    revokeToken: revokeToken(core),
    listPolicies: listPolicies(core),
    setPolicy: setPolicy(core),
    testPolicy: testPolicy(core),
    explain: explain(core),
    auditRecords: auditRecords(core),
    auditCheckpoint: auditCheckpoint(core),
    auditInclusion: auditInclusion(core),
    auditConsistency: auditConsistency(core),
  };
}
