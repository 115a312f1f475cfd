/** Public keys and certificates that other programs put into a token under the id of a private key which they do not belong to. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPublicKey, verify } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import type { Device, DeviceObject } from "@casemate/devices/contract";
import { SOFTHSM, missing, openSoftHsm, softHsm, type SoftHsm } from "./pkcs11-out-harness.ts";

const skip = missing(SOFTHSM, "softhsm2-util", "pkcs11-tool", "openssl") ?? false;

const MESSAGE = Buffer.from("a message");

/** A key pair by OpenSSL, as files: private key, public key and self-signed certificate, in DER. */
function pair(hsm: SoftHsm, name: string): Readonly<Record<"privkey" | "pubkey" | "cert", string>> {
  const file = (end: string): string => join(hsm.directory, `${name}.${end}`);
  for (const args of [
    ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file("pem")],
    ["pkey", "-in", file("pem"), "-outform", "DER", "-out", file("key")],
    ["pkey", "-in", file("pem"), "-pubout", "-outform", "DER", "-out", file("pub")],
    ["req", "-x509", "-key", file("pem"), "-subj", `/CN=${name}`, "-days", "2", "-outform", "DER", "-out", file("crt")],
  ])
    assert.equal(spawnSync("openssl", args).status, 0, args.join(" "));
  return { privkey: file("key"), pubkey: file("pub"), cert: file("crt") };
}

const write = (hsm: SoftHsm, type: "privkey" | "pubkey" | "cert", file: string, id: string, label: string): void =>
  void hsm.tool("--write-object", file, "--type", type, "--id", id, "--label", label, "--usage-sign");

const generate = (hsm: SoftHsm, type: string, id: string, label: string, ...more: readonly string[]): void =>
  void hsm.tool("--keypairgen", "--key-type", type, "--id", id, "--label", label, "--usage-sign", ...more);

async function objectsOf(device: Device): Promise<(id: string, label: string) => DeviceObject> {
  const objects = (await device.objects?.list()) ?? [];
  return (id, label) => {
    const found = objects.filter((object) => object.id === id && object.label === label);
    assert.equal(found.length, 1, `${id} ${label}`);
    return found[0] as DeviceObject;
  };
}

/** The public key that the device names verifies what the private key signs. */
async function belongs(device: Device, { ref, algorithm, publicKey: listed }: DeviceObject): Promise<void> {
  const scheme = algorithm === "ec-p256" ? "ecdsa-sha256" : "rsa-pkcs1-sha256";
  const [signature] = (await device.sign?.sign(ref, scheme, "message", [MESSAGE])) ?? [];
  assert.ok(signature instanceof Uint8Array);
  const spki = await device.keys.publicKey(ref);
  assert.ok(
    verify("sha256", MESSAGE, createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }), signature),
  );
  if (listed !== undefined) assert.deepEqual(listed, spki, "what the list says");
  assert.deepEqual(await device.sign?.verify(ref, scheme, "message", [{ input: MESSAGE, signature }]), [true]);
}

test("of several public keys with one id each private key has its own", { skip, timeout: 60_000 }, async (t) => {
  using hsm = softHsm("t");
  generate(hsm, "EC:prime256v1", "13", "first");
  generate(hsm, "EC:prime256v1", "13", "second");
  generate(hsm, "EC:prime256v1", "14", "both");
  generate(hsm, "rsa:2048", "14", "both");
  generate(hsm, "EC:secp384r1", "14", "both-384");
  generate(hsm, "EC:prime256v1", "15", "alone");
  const device = await openSoftHsm(hsm, "t", { sessions: 1 });
  t.after(() => device.close());
  const object = await objectsOf(device);
  for (const label of ["first", "second"]) {
    assert.equal(object("13", label).publicKey, undefined, "a list does not guess, and signs nothing");
    await belongs(device, object("13", label));
  }
  const alone = object("15", "alone");
  assert.ok(alone.publicKey !== undefined, "where there is no other key, the list says it");
  await belongs(device, alone);
  const both = ((await device.objects?.list()) ?? []).filter(({ label }) => label === "both");
  assert.deepEqual(new Set(both.map(({ algorithm }) => algorithm)), new Set(["ec-p256", "rsa-2048"]));
  for (const one of both) await belongs(device, one);

  // The end of one key takes no public key of another with it.
  await device.keys.destroy(object("13", "first").ref);
  const left = hsm.tool("--list-objects", "--type", "pubkey", "--id", "13");
  assert.match(left, /second/);
  assert.doesNotMatch(left, /first/);
});

test(
  "a public key or a certificate that belongs to another key is not published",
  { skip, timeout: 60_000 },
  async (t) => {
    using hsm = softHsm("t");
    const [own, foreign] = [pair(hsm, "own"), pair(hsm, "foreign")];
    for (const id of ["21", "22", "23", "24", "25"]) write(hsm, "privkey", own.privkey, id, "key");
    write(hsm, "pubkey", foreign.pubkey, "21", "key");
    write(hsm, "cert", foreign.cert, "22", "key");
    write(hsm, "cert", foreign.cert, "23", "key");
    write(hsm, "cert", own.cert, "23", "another label");
    write(hsm, "cert", own.cert, "24", "key");
    write(hsm, "pubkey", foreign.pubkey, "25", "key");
    write(hsm, "cert", own.cert, "25", "key");
    // A private RSA key shows its own public part in this token.
    generate(hsm, "rsa:2048", "26", "rsa");
    hsm.tool("--delete-object", "--type", "pubkey", "--id", "26");
    write(hsm, "cert", foreign.cert, "26", "rsa");
    const device = await openSoftHsm(hsm, "t", { sessions: 1 });
    t.after(() => device.close());
    const object = await objectsOf(device);
    for (const id of ["21", "22"])
      await assert.rejects(device.keys.publicKey(object(id, "key").ref), {
        code: "NOT_FOUND",
        message: /can be shown to belong to this key/,
      });
    for (const id of ["23", "24", "25"]) await belongs(device, object(id, "key"));
    await belongs(device, object("26", "rsa"));
  },
);

test(
  "a key that wants a PIN for each use is not tried, and has the public key that no other can be meant by",
  { skip, timeout: 60_000 },
  async (t) => {
    using hsm = softHsm("t");
    generate(hsm, "EC:prime256v1", "31", "alone", "--always-auth");
    generate(hsm, "EC:prime256v1", "32", "first", "--always-auth");
    generate(hsm, "EC:prime256v1", "32", "second", "--always-auth");
    const device = await openSoftHsm(hsm, "t", { sessions: 1 });
    t.after(() => device.close());
    const object = await objectsOf(device);
    assert.deepEqual(await device.keys.publicKey(object("31", "alone").ref), object("31", "alone").publicKey);
    await assert.rejects(device.keys.publicKey(object("32", "first").ref), { code: "NOT_FOUND" });
  },
);

test("a key that was put in the place of another is not used", { skip, timeout: 60_000 }, async (t) => {
  using hsm = softHsm("t");
  for (const [id, type] of [
    ["41", "EC:prime256v1"],
    ["42", "EC:prime256v1"],
    ["43", "rsa:2048"],
  ] as const)
    generate(hsm, type, id, "key");
  const first = await openSoftHsm(hsm, "t");
  const object = await objectsOf(first);
  const known = await Promise.all(
    ["41", "42", "43"].map(async (id) => ({
      id,
      ref: object(id, "key").ref,
      spki: await first.keys.publicKey(object(id, "key").ref),
    })),
  );
  await first.close();
  // The whole pair, the private half alone, and the whole pair.
  for (const id of ["41", "42", "43"]) hsm.tool("--delete-object", "--type", "privkey", "--id", id);
  for (const id of ["41", "43"]) hsm.tool("--delete-object", "--type", "pubkey", "--id", id);
  generate(hsm, "EC:prime256v1", "41", "key");
  write(hsm, "privkey", pair(hsm, "foreign").privkey, "42", "key");
  generate(hsm, "rsa:2048", "43", "key");

  const device = await openSoftHsm(hsm, "t");
  t.after(() => device.close());
  for (const { id, ref, spki } of known) {
    const scheme = id === "43" ? "rsa-pkcs1-sha256" : "ecdsa-sha256";
    const expecting = device.keys.expecting?.(ref, spki);
    assert.ok(expecting !== undefined && device.sign !== undefined);
    await assert.rejects(device.sign.sign(expecting, scheme, "message", [MESSAGE]), { code: "TAMPER_DETECTED" }, id);
    // References without what the key is expected to be go on working.
    assert.ok((await device.sign.sign(ref, scheme, "message", [MESSAGE]))[0] instanceof Uint8Array);
  }
  const own = await device.keys.generate({ algorithm: "ec-p256", usages: ["sign"], exportable: false });
  const expecting = device.keys.expecting?.(own.ref, own.publicKey ?? new Uint8Array());
  assert.ok(expecting !== undefined && device.sign !== undefined);
  assert.ok((await device.sign.sign(expecting, "ecdsa-sha256", "message", [MESSAGE]))[0] instanceof Uint8Array);
  await device.keys.destroy(own.ref);
  await assert.rejects(device.sign.sign(expecting, "ecdsa-sha256", "message", [MESSAGE]), { code: "NOT_FOUND" });
});
