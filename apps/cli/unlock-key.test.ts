import assert from "node:assert/strict";
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as form from "@casemate/devices/driver-hsm";
import { isCasemateError } from "@casemate/foundation/errors";
import { knownDevicesFile, openKnownDevices } from "./known-devices.ts";
import { checkChallenge } from "./unlock-key.ts";

const CONTEXT = new TextEncoder().encode("casemate virtual HSM unlock v1\0");
const der = (key: KeyObject): Uint8Array => key.export({ format: "der", type: "spki" });
const newKey = () => generateKeyPairSync("ed25519");
const oneTime = (): Uint8Array => generateKeyPairSync("x25519").publicKey.export({ format: "raw-public" });

function challengeOf({ privateKey, publicKey }: ReturnType<typeof newKey>) {
  const once = oneTime();
  return { publicKey: once, signature: sign(null, Buffer.concat([CONTEXT, once]), privateKey), signer: der(publicKey) };
}
const unsigned = { publicKey: oneTime(), signature: new Uint8Array(), signer: new Uint8Array() };
const tampered = (error: unknown): boolean => isCasemateError(error) && error.code === "TAMPER_DETECTED";

test("the first unlock says aloud that it trusts what it meets; later ones are silent", () => {
  const key = newKey();
  const first = checkChallenge(form, "hsm-1", challengeOf(key), { known: undefined, trusted: undefined });
  assert.match(first.remark ?? "", /was not checked/);
  const known = first.fingerprint;
  assert.match(known ?? "", /^SHA256:[A-Za-z0-9+/]{43}$/);
  const next = checkChallenge(form, "hsm-1", challengeOf(key), { known, trusted: undefined });
  assert.deepEqual(next, { fingerprint: known });
});

test("a one-time key that somebody swapped is refused, whoever signed it", () => {
  const key = newKey();
  const known = form.unlockKeyFingerprint(der(key.publicKey));
  const memory = { known, trusted: undefined };
  const swapped = { ...challengeOf(key), publicKey: oneTime() };
  assert.throws(() => checkChallenge(form, "hsm-1", swapped, memory), tampered);
  assert.throws(() => checkChallenge(form, "hsm-1", challengeOf(newKey()), memory), tampered);
  assert.throws(() => checkChallenge(form, "hsm-1", unsigned, memory), tampered);
  assert.throws(
    () => checkChallenge(form, "hsm-1", { ...challengeOf(key), signature: new Uint8Array() }, memory),
    tampered,
  );
  assert.throws(() => checkChallenge(form, "hsm-1", swapped, { known: undefined, trusted: undefined }), tampered);
});

test("a fingerprint that the user names counts before the one remembered, and alone at the first unlock", () => {
  const [old, fresh] = [newKey(), newKey()];
  const known = form.unlockKeyFingerprint(der(old.publicKey));
  const trusted = form.unlockKeyFingerprint(der(fresh.publicKey));
  assert.deepEqual(checkChallenge(form, "hsm-1", challengeOf(fresh), { known, trusted }), { fingerprint: trusted });
  assert.throws(() => checkChallenge(form, "hsm-1", challengeOf(old), { known, trusted }), tampered);
  assert.throws(() => checkChallenge(form, "hsm-1", challengeOf(old), { known: undefined, trusted }), tampered);
});

test("a device without an unlock key is used, and that nothing was checked is said", () => {
  const { remark, fingerprint } = checkChallenge(form, "p11", unsigned, { known: undefined, trusted: undefined });
  assert.match(remark ?? "", /no key to sign/);
  assert.equal(fingerprint, undefined);
});

test("what is remembered is the account's own, and a damaged memory is not a first meeting", () => {
  const directory = mkdtempSync(join(tmpdir(), "casemate-known-"));
  try {
    const file = knownDevicesFile({ XDG_CONFIG_HOME: directory });
    openKnownDevices(file).set("here hsm-1", "SHA256:a");
    assert.equal(openKnownDevices(file).get("here hsm-1"), "SHA256:a");
    assert.equal(openKnownDevices(file).get("there hsm-1"), undefined);
    assert.equal(statSync(file).mode & 0o077, 0);
    writeFileSync(file, "{");
    assert.throws(
      () => openKnownDevices(file),
      (error: unknown) => isCasemateError(error) && error.code === "CONFIG_INVALID",
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
